"""Sets that a search grows: which of its candidates teach a linear potential most about the target (method §11).

    target structures -> goal (what is to be predicted) -> candidates as rows -> additions and exchanges

| what | module |
|---|---|
| what is to be predicted, and a structure's rows in its units | `goal` |
| additions and exchanges among candidates | `growing` |
| how much does a set that is there tell? | `taught` |
"""

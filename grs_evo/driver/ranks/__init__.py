"""What the ranks do together before they begin.

| what | module |
|---|---|
| how do all ranks get what rank 0 found? | `startup` |
| how do ranks share the description of a large target? | `distributed_target` |
| who reads the islands of a checkpoint, and how do they come to the ranks that go on with them? | `held_states` |
"""

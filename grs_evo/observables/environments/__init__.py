"""Observables of single environments, drawn from the target by chance to tell their scatter.

| what | module |
|---|---|
| how does g(r) differ, pair by pair? | `pair_distribution` |
| where is the first peak, how wide is the first shell? | `first_peak` |
| how many neighbours has an atom, and how many atoms have that many? | `coordination` |
| how close do atoms come? | `contacts` |
| which angles do bonds form? | `angles` |
| which elements stand beside each other? | `short_range_order` |
| are bonds along one direction longer, or more, than along another? | `anisotropy` |
"""

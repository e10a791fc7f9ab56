"""Islands over MPI ranks: the same answer on any number of them.

| what | module |
|---|---|
| the only place that knows MPI | `communicator` |
| kinds of messages, arrays as bytes | `messages` |
| which island sends to which, which rank computes which | `topology` |
| the islands of one rank, generation after generation | `worker` |
| what rank 0 does beside that | `coordinator` |
| when to save, when to stop | `decisions` |
| where the time goes | `timing` |
| how a round ends: at its last generation, by a request, by an error | `endings` |
"""

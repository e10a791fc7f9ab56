"""A run from its file to its end.

| what | module |
|---|---|
| begin, go on with, and end a session | `session` |
| what the ranks do together before they begin | `ranks/` |
| how do a run file and structures become a basis, a target and a search problem? | `setup` |
| round after round of search | `rounds` |
| how does a representative set grow between them? | `sets/` |
| SIGTERM, SIGUSR1 and SIGINT | `signals` |
| what is kept while it runs: archive, history, checkpoints? | `recorder` |
| which versions and inputs made it, and is a folder unchanged? | `provenance` |
| what does a run file leave to its target? | `chosen/` |
| compiling before the first run | `ahead/` |
| the run file | `config/` |
| what people see | `monitor/` |
"""

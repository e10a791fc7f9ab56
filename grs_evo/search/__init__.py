"""One island: a population, its own random stream, and how one generation follows from the one before.

    candidates -> operators -> evaluation (relaxation, loss) -> selection -> archive

| what | module |
|---|---|
| which options steer it? | `options` |
| what does a generation depend on besides the island's state? | `problem` |
| what is an island between two generations? | `state` |
| what is counted? | `counters` |
| one generation: immigrants, strategy, archive, history | `island` |
| evaluate and relax new structures | `evaluation` |
| new candidates, evaluated: first generation, restart, refresh | `fresh_candidates` |
| what was evaluated before | `repeats` |
| where first structures come from | `candidates/` |
| individuals, selection, archive, sets | `population/` |
| crossover and mutation | `operators/` |
| genetic search, annealing, descent, random walk, gradient | `strategies/` |
"""

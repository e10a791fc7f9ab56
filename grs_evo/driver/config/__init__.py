"""The run file: TOML in, checked options out.

| what | module |
|---|---|
| which tables and keys are there? | `run_file` |
| which files does it name; what may change at a resume? | `changes` |
| what does an alloy decide where the run file leaves it open? | `from_alloy` |
| what does the target decide where the run file leaves it open? | `from_target` |
| which parts from outside does it name? | `plugged` |
| what is called after every generation? | `callback` |
| which options have no effect? | `without_effect` |
| how are options written as TOML? | `toml` |
"""

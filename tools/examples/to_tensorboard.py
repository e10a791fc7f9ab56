"""A run in TensorBoard: `callbacks = ["to_tensorboard:WRITER"]` under [plugins] of the run file.

`pip install tensorboardX`, then `tensorboard --logdir tensorboard`. MLflow is as short:
`mlflow.log_metrics(now.best_terms, step=now.evaluations)`.
"""

from functools import cache

from tensorboardX import SummaryWriter

from grs_evo.driver.config.callback import Callback


@cache
def writer() -> SummaryWriter:
    """Opened by the first generation, so on rank 0 alone."""
    return SummaryWriter("tensorboard")


def write(now):
    for name, value in {"value": now.best_value, **now.best_terms}.items():
        writer().add_scalar(f"best/{name}", value, now.evaluations)
    writer().flush()


WRITER = Callback("tensorboard", write)

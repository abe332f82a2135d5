from .config import TrainConfig as TrainConfig
from .evaluation import Evaluation as Evaluation
from .evaluation import evaluate as evaluate
from .training import train as train

from .experiment import run_transfer as run_transfer
from .plan import Plan as Plan
from .plan import make_plan as make_plan
from .regions import Region as Region
from .regions import find_regions as find_regions
from .settings import TransferConfig as TransferConfig

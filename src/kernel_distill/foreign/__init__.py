"""Distilled sets in the formats of other tools, read and written."""

from kernel_distill.foreign._names import Told as Told
from kernel_distill.foreign._names import told_by_name as told_by_name
from kernel_distill.foreign._preprocessing import PREPROCESSINGS as PREPROCESSINGS
from kernel_distill.foreign._read import describe as describe
from kernel_distill.foreign._read import load_data as load_data
from kernel_distill.foreign._read import read as read
from kernel_distill.foreign._recognise import recognised as recognised
from kernel_distill.foreign._write import FORMATS as FORMATS
from kernel_distill.foreign._write import check_target as check_target
from kernel_distill.foreign._write import write as write

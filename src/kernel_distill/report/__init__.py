"""The page of a run, or of several: one file that opens from a disk and needs nothing else."""

from kernel_distill.report._page import FILE_NAME as FILE_NAME
from kernel_distill.report._page import Page as Page
from kernel_distill.report._page import Table as Table
from kernel_distill.report._page import is_page as is_page
from kernel_distill.report._page import read_page as read_page
from kernel_distill.report._page import save_report as save_report
from kernel_distill.report._sprites import Frame as Frame
from kernel_distill.report._sprites import Sprites as Sprites
from kernel_distill.report._story import Story as Story
from kernel_distill.report._tell import tell as tell
from kernel_distill.report._tell import tell_alone as tell_alone

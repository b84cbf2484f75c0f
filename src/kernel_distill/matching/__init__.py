"""The methods whose inner learner is a network of finite width."""

from kernel_distill.matching._distill import check as check
from kernel_distill.matching._distill import distill as distill
from kernel_distill.matching._methods import METHODS as METHODS
from kernel_distill.matching._methods import method_named as method_named
from kernel_distill.matching._settings import MatchingSettings as MatchingSettings

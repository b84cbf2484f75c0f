"""The methods whose inner learner is a network of finite width."""

from kernel_distill.matching import distribution as distribution
from kernel_distill.matching import features as features
from kernel_distill.matching import parameter as parameter
from kernel_distill.matching import performance as performance
from kernel_distill.matching._distill import Prepared as Prepared
from kernel_distill.matching._distill import distill as distill
from kernel_distill.matching._distill import prepare as prepare
from kernel_distill.matching._method import Found as Found
from kernel_distill.matching._method import Method as Method
from kernel_distill.matching._methods import METHODS as METHODS
from kernel_distill.matching._methods import method_named as method_named
from kernel_distill.matching._settings import MatchingSettings as MatchingSettings

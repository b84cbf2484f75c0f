"""`python -m kernel_distill.cli`"""

import sys

from kernel_distill.cli import main

sys.exit(main())

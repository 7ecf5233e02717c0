"""Hook of pre-commit: the first line of a commit message is conventional (feat: …, fix(api): …, docs!: …)."""

import re
import sys
from pathlib import Path

TYPES = "feat|fix|perf|docs|test|build|ci|refactor|style|chore|revert"

first = Path(sys.argv[1]).read_text(encoding="utf-8").partition("\n")[0]
if not re.fullmatch(rf"(({TYPES})(\([\w-]+\))?!?: \S.*)|(Merge .*)", first):
    sys.exit(f"{first!r} is no conventional message. Write TYPE: what changes, with a type out of {TYPES}.")

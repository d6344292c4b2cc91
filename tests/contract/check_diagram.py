#!/usr/bin/env python3
"""docs/architecture.md shows the lifecycle that the code has: check_diagram.py PRINT_LIFECYCLE DOCUMENT"""

import subprocess
import sys
from pathlib import Path

diagram = subprocess.run([sys.argv[1]], capture_output=True, text=True, check=True).stdout.strip()
if f"```mermaid\n{diagram}\n```" not in Path(sys.argv[2]).read_text():
    sys.exit(f"{sys.argv[2]} shows another lifecycle than models/lifecycle.cpp; it should be:\n{diagram}")

#!/usr/bin/env python3
"""docs/api.md has every path that the server has: check_api_doc.py OPENAPI DOCUMENT"""

import json
import re
import sys
from pathlib import Path

text = Path(sys.argv[2]).read_text()
missing = [path for path in json.loads(Path(sys.argv[1]).read_text())["paths"]
           if not re.search(rf"(?<![\w/}}]){re.escape(path)}(?![\w/{{])", text)]
if missing:
    sys.exit(f"{sys.argv[2]} does not have {', '.join(missing)}")

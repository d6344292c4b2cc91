#!/usr/bin/env python3
"""The layer check notices each kind of trespass, and nothing in a clean tree."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from check_layers import check  # noqa: E402


class CheckLayersTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name).resolve()
        self.write("src/models/a.cpp", '#include "models/a.h"\n#include <fmt/format.h>\n#include <map>\n')
        self.write("src/engine/b.cpp", '#include "llama.h"\n#include "engine/b.h"\n')
        self.write("src/http/c.cpp", "#include <nlohmann/json.hpp>\n")
        self.write("include/switchyard/d.h", '#include "switchyard/e.h"\n#include <vector>\n')

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def compile_with(self, *words):
        command = " ".join(("c++", f"-I{self.root}/src", *words, "-c", "a.cpp"))
        return [{"directory": str(self.root), "file": "src/models/a.cpp", "command": command}]

    def test_a_clean_tree(self):
        self.assertEqual(check(self.root, self.compile_with("-isystem /usr/include/x")), [])

    def test_each_trespass(self):
        for name, text in (
            ("src/models/x.h", '#include "http/server.h"\n'),
            ("src/models/x.cpp", '#include "engine/in_process.h"\n'),
            ("src/traffic/x.cpp", "#include <nlohmann/json.hpp>\n"),
            ("src/traffic/x.cpp", "  #  include <boost/asio.hpp>\n"),
            ("src/alerts/x.cpp", '#include "webhook/body.h"\n'),
            ("src/alerts/x.cpp", "#include <nlohmann/json.hpp>\n"),
            ("src/pressure/x.h", '#include "models/manager.h"\n'),
            ("src/service/x.h", '#include "http/server.h"\n'),
            ("src/gateway/x.cpp", '#include "common.h"\n'),
            ("src/http/x.cpp", "#include <llama.h>\n"),
            ("include/switchyard/x.h", '#include "base/clock.h"\n'),
            ("include/switchyard/x.h", "#include <fmt/format.h>\n"),
        ):
            with self.subTest(text):
                self.write(name, text)
                self.assertEqual(len(check(self.root, [])), 1)
                (self.root / name).unlink()

    def test_an_include_path_in_reach(self):
        for words in ("-I/x/llama.cpp/include", "-isystem /x/vendor", "-isystem /x/nlohmann"):
            with self.subTest(words):
                self.assertEqual(len(check(self.root, self.compile_with(words))), 1)


if __name__ == "__main__":
    unittest.main()

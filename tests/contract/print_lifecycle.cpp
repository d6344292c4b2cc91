#include <cstdio>

#include "models/lifecycle.h"

/// Prints the diagram of a version's life, for docs/architecture.md and the check that it is there.
int main() { std::fputs(switchyard::models::mermaid_diagram().c_str(), stdout); }

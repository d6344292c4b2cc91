#include "engine/in_process.h"

/// The helper process of the engine's own tests; `switchyard inspect-child` does the same.
int main() { return switchyard::engine::run_inspect_child(); }

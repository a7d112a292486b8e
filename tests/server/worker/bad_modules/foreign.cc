// A shared library that is no module.
extern "C" __attribute__((visibility("default"))) int Unrelated() { return 0; }

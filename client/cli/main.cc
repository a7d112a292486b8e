#include "client/cli/app.h"

int main(int argc, char** argv) { return prefork::cli::Main(argc, argv); }

#ifndef PREFORK_CLIENT_CLI_APP_H_
#define PREFORK_CLIENT_CLI_APP_H_

#include <CLI/CLI.hpp>
#include <memory>

#include "client/cli/context.h"

namespace prefork::cli {

// The whole command line: every verb, each of which sets `context.action` when it is parsed.
std::unique_ptr<CLI::App> MakeApp(Context& context);

// Parses, runs the verb, says on stderr what went wrong. Answers with the exit code.
int Main(int argc, const char* const* argv);

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_APP_H_

#ifndef PREFORK_CLIENT_CLI_COMMANDS_COMMANDS_H_
#define PREFORK_CLIENT_CLI_COMMANDS_COMMANDS_H_

#include <CLI/CLI.hpp>

#include "client/cli/context.h"

// One function for each file of verbs: adds them to the command line.
namespace prefork::cli {

void AddRun(CLI::App& app, Context& context);         // run
void AddSubmit(CLI::App& app, Context& context);      // submit
void AddCall(CLI::App& app, Context& context);        // call
void AddMap(CLI::App& app, Context& context);         // map
void AddWait(CLI::App& app, Context& context);        // wait, result
void AddLogs(CLI::App& app, Context& context);        // logs
void AddList(CLI::App& app, Context& context);        // list
void AddShow(CLI::App& app, Context& context);        // show
void AddStop(CLI::App& app, Context& context);        // cancel, kill, retry, rm
void AddStatus(CLI::App& app, Context& context);      // status, ping
void AddTop(CLI::App& app, Context& context);         // top
void AddWorkers(CLI::App& app, Context& context);     // workers, functions
void AddPools(CLI::App& app, Context& context);       // pools, pool create|show|delete
void AddSteer(CLI::App& app, Context& context);       // scale, pause, resume, drain, reload
void AddEvents(CLI::App& app, Context& context);      // events
void AddDoctor(CLI::App& app, Context& context);      // doctor
void AddDaemon(CLI::App& app, Context& context);      // daemon, shutdown, config, version
void AddCompletion(CLI::App& app, Context& context);  // completion, and the hidden man page verb

// What `prefork` without a verb does.
absl::StatusOr<int> ShowStatus(Context& context);

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_COMMANDS_COMMANDS_H_

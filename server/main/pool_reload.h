#ifndef PREFORK_SERVER_MAIN_POOL_RELOAD_H_
#define PREFORK_SERVER_MAIN_POOL_RELOAD_H_

#include "common/log/logger.h"
#include "server/engine/engine.h"
#include "server/main/reload_plan.h"

namespace prefork::main {

// Makes, resizes and deletes the pools that the plan names; one to be deleted finishes its tasks
// first. Logs what has come of each when it has. Call on the engine's thread; nothing is owned, and
// both outlive the orders.
void ReloadPools(const ReloadPlan& plan, engine::Engine* engine, log::Logger* log);

}  // namespace prefork::main

#endif  // PREFORK_SERVER_MAIN_POOL_RELOAD_H_

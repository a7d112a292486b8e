#include "client/cli/pool_table.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/format.h"

namespace prefork::cli {

Table PoolTable(const google::protobuf::RepeatedPtrField<v1::Pool>& pools) {
  Table table({{"POOL"},
               {"STATE"},
               {"RUNTIME"},
               {"SIZE", true},
               {"BUSY", true},
               {"IDLE", true},
               {"START", true},
               {"QUEUED", true},
               {"RUNNING", true},
               {"DONE", true},
               {"EXITS", true},
               {"NOTE"}});
  for (const v1::Pool& pool : pools) {
    table.AddRow(
        {pool.spec().name(),
         {PoolStateName(pool.state()), ColorOf(pool.state())},
         RuntimeName(pool.spec().runtime()),
         absl::StrCat(pool.spec().size()),
         absl::StrCat(pool.workers_busy()),
         absl::StrCat(pool.workers_idle()),
         absl::StrCat(pool.workers_starting()),
         absl::StrCat(pool.tasks_waiting() + pool.tasks_queued() + pool.tasks_dispatched()),
         absl::StrCat(pool.tasks_running()),
         absl::StrCat(pool.tasks_finished()),
         {absl::StrCat(pool.worker_exits()),
          pool.worker_exits() > 0 ? Color::kYellow : Color::kNone},
         pool.reason()});
  }
  return table;
}

Table WorkerTable(Context& context, const google::protobuf::RepeatedPtrField<v1::Worker>& workers) {
  Table table({{"WORKER"},
               {"PID", true},
               {"STATE"},
               {"TASK", true},
               {"DONE", true},
               {"LANE", true},
               {"RSS", true},
               {"CPU", true},
               {"AGE", true}});
  const absl::Time now = absl::Now();
  for (const v1::Worker& worker : workers) {
    table.AddRow({absl::StrCat(worker.pool(), "/", worker.index(), ".", worker.generation(),
                               worker.dedicated() ? " dedicated" : ""),
                  absl::StrCat(worker.pid()),
                  {WorkerStateName(worker.state()), ColorOf(worker.state())},
                  worker.task_id() == 0 ? "" : absl::StrCat(context.ShortNumber(worker.task_id())),
                  absl::StrCat(worker.tasks_done()),
                  absl::StrCat(worker.lane_depth()),
                  ShortBytes(worker.rss_bytes()),
                  ShortDuration(ToDuration(worker.cpu_time())),
                  worker.has_started_at() ? ShortDuration(now - ToTime(worker.started_at())) : ""});
  }
  return table;
}

std::string WorkersLine(const v1::Pool& pool) {
  std::string line = absl::StrCat(pool.spec().name(), ": ", pool.workers_busy(), " busy, ",
                                  pool.workers_idle(), " idle");
  if (pool.workers_starting() > 0)
    absl::StrAppend(&line, ", ", pool.workers_starting(), " starting");
  if (pool.worker_exits() > 0) absl::StrAppend(&line, ", ", pool.worker_exits(), " died");
  if (pool.state() != v1::POOL_STATE_READY) {
    absl::StrAppend(&line, " (", PoolStateName(pool.state()), ")");
  }
  return line;
}

}  // namespace prefork::cli

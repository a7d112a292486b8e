#ifndef PREFORK_SERVER_ENGINE_EXIT_REPORTER_H_
#define PREFORK_SERVER_ENGINE_EXIT_REPORTER_H_

#include <string>
#include <string_view>

#include "server/engine/lane_drainer.h"
#include "server/engine/task_record.h"
#include "server/engine/types.h"
#include "server/pool/pool_observer.h"
#include "server/pool/worker.h"

// Says how attempts and workers ended: the facts, and one sentence for people that names who did
// what to whom and, where there is one, the cure. Facts are noted when they come in; the cause is
// the scheduler's word and comes later.
namespace prefork::engine {

// "worker default/0 generation 3 (pid 4711)".
std::string WorkerName(std::string_view pool, uint32_t index, uint32_t generation, int32_t pid);

// What a worker that lived on said about an attempt.
void NoteFinished(const FinishedReport& finished, ExitReport* report);
// What the end of its process says about the attempt it was running.
void NoteExit(const pool::WorkerExit& exit, ExitReport* report);

// Completes the report of `task`'s latest attempt, which ended with `cause`. `hint` is what only the
// caller knows: why a start failed, what the nonsense was, which predecessor failed. Text in
// report->detail counts as a hint too.
void CompleteReport(const TaskRecord& task, scheduler::EndCause cause, std::string_view hint,
                    ExitReport* report);

// The report of a success about which nothing was measured.
ExitReport ReportSuccess(const TaskRecord& task);

// The end of a worker process, for the log of workers. `task` is what it was running, or 0.
ExitReport ReportWorkerExit(std::string_view pool, const pool::Worker& worker,
                            const pool::WorkerExit& exit, TaskId task);

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_EXIT_REPORTER_H_

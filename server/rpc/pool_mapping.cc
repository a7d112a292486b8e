#include "server/rpc/pool_mapping.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/text/utf8.h"
#include "common/text/views.h"
#include "server/pool/pool_spec.h"
#include "server/rpc/enum_mapping.h"
#include "server/rpc/field_reader.h"
#include "server/rpc/time_mapping.h"

namespace prefork::rpc {
namespace {

void CheckName(absl::string_view name, FieldReader* reader) {
  if (pool::IsPoolName(text::ToStd(name))) return;
  reader->Add("name", absl::StrCat("'", name, "' is not ", text::ToAbsl(pool::kPoolNameRule)));
}

void CheckPath(absl::string_view field, absl::string_view path, FieldReader* reader) {
  if (path.empty() || path.front() != '/') {
    reader->Add(field, absl::StrCat("'", path, "' is not an absolute path"));
  }
  reader->CheckNoNul(field, path);
}

void CheckModule(absl::string_view field, absl::string_view module, FieldReader* reader) {
  if (module.empty() || module.front() == '-') {
    reader->Add(field, absl::StrCat("'", module, "' is not the name of a module"));
  }
  reader->CheckNoNul(field, module);
}

void SetIfFinite(absl::Duration duration,
                 google::protobuf::Duration* (*mutable_field)(v1::PoolSpec*), v1::PoolSpec* out) {
  if (duration != absl::InfiniteDuration()) ToProto(duration, mutable_field(out));
}

}  // namespace

void ToProto(const pool::PoolSpec& spec, v1::PoolSpec* out) {
  out->set_name(spec.name);
  out->set_runtime(ToProto(spec.runtime));
  out->set_size(spec.size);
  for (const std::string& module : spec.modules) out->add_modules(module);
  for (const std::string& arg : spec.zygote_command) out->add_zygote_command(arg);
  for (const auto& [name, value] : spec.env) (*out->mutable_env())[name] = value;
  out->set_cwd(spec.cwd);
  out->set_max_tasks_per_worker(spec.max_tasks_per_worker);
  SetIfFinite(
      spec.max_worker_age, [](v1::PoolSpec* o) { return o->mutable_max_worker_age(); }, out);
  out->set_max_worker_rss_bytes(spec.max_worker_rss_bytes);
  out->set_max_queued_tasks(spec.max_queued_tasks);
  out->set_max_queued_bytes(spec.max_queued_bytes);
  SetIfFinite(
      spec.task_timeout, [](v1::PoolSpec* o) { return o->mutable_task_timeout(); }, out);
  SetIfFinite(
      spec.task_grace, [](v1::PoolSpec* o) { return o->mutable_task_grace(); }, out);
  SetIfFinite(
      spec.start_timeout, [](v1::PoolSpec* o) { return o->mutable_start_timeout(); }, out);
  out->set_max_dedicated(spec.max_dedicated);
  out->set_max_output_bytes(spec.max_output_bytes);
  if (spec.runtime == pool::Runtime::kPython) {
    out->set_interpreter(spec.interpreter);
    for (const std::string& module : spec.preload) out->add_preload(module);
  }
  SetIfFinite(
      spec.idle_timeout, [](v1::PoolSpec* o) { return o->mutable_idle_timeout(); }, out);
}

void ToProto(const engine::PoolInfo& info, v1::Pool* out) {
  ToProto(info.spec, out->mutable_spec());
  out->set_state(ToProto(info.state));
  out->set_reason(text::CleanUtf8(info.reason));
  out->set_workers_starting(info.workers_starting);
  out->set_workers_idle(info.workers_idle);
  out->set_workers_busy(info.workers_busy);
  out->set_workers_retiring(info.workers_retiring);
  out->set_tasks_waiting(info.tasks_waiting);
  out->set_tasks_queued(info.tasks_queued);
  out->set_tasks_dispatched(info.tasks_dispatched);
  out->set_tasks_running(info.tasks_running);
  out->set_tasks_finished(info.tasks_finished);
  out->set_queued_bytes(info.queued_bytes);
  out->set_worker_exits(info.worker_exits);
  out->set_zygote_pid(info.zygote_pid);
}

void ToProto(const engine::WorkerInfo& info, v1::Worker* out) {
  out->set_pool(info.pool);
  out->set_index(info.index);
  out->set_generation(info.generation);
  out->set_pid(info.pid);
  out->set_state(ToProto(info.state));
  out->set_dedicated(info.dedicated);
  ToProto(info.started_at, out->mutable_started_at());
  out->set_tasks_done(info.tasks_done);
  out->set_task_id(info.running_task);
  out->set_lane_depth(info.lane_depth);
  out->set_rss_bytes(info.rss_bytes);
  ToProto(info.cpu_time, out->mutable_cpu_time());
  out->set_exit_reason(ToProto(info.exit_reason));
}

void ToProto(const engine::FunctionInfo& info, v1::Function* out) {
  out->set_pool(info.pool);
  out->set_name(text::CleanUtf8(info.name));
  out->set_description(text::CleanUtf8(info.description));
}

void ToProto(const engine::StatusInfo& info, v1::DaemonStatus* out) {
  out->set_first_task_id(info.first_task_id);
  ToProto(info.started_at, out->mutable_started_at());
  out->set_sessions(info.sessions);
  out->set_tasks_known(info.tasks_known);
  out->set_tasks_unfinished(info.tasks_unfinished);
  out->set_last_sequence(info.last_sequence);
  out->set_segment_bytes_leased(info.segment_bytes_leased);
  out->set_segment_bytes_warm(info.segment_bytes_warm);
  out->set_engine_wakeups(info.wakeups);
  for (const engine::PoolInfo& pool : info.pools) ToProto(pool, out->add_pools());
  for (const std::string& warning : info.warnings) out->add_warnings(text::CleanUtf8(warning));
  out->set_draining(info.draining);
}

absl::StatusOr<pool::PoolSpec> FromProto(const v1::PoolSpec& spec, const pool::PoolSpec& defaults) {
  FieldViolations violations;
  FieldReader reader("pool.", &violations);
  pool::PoolSpec out = defaults;

  CheckName(spec.name(), &reader);
  out.name = spec.name();
  if (const auto runtime = FromProto(spec.runtime()); runtime.has_value()) {
    out.runtime = *runtime;
  } else {
    reader.Add("runtime", absl::StrCat(static_cast<int>(spec.runtime()),
                                       " is none of RUNTIME_COMMAND, _NATIVE, _PYTHON"));
  }
  if (spec.size() > pool::kMaxPoolSize) {
    reader.Add("size", absl::StrCat(spec.size(), " is not between 0 and ", pool::kMaxPoolSize));
  }
  if (spec.size() != 0) out.size = spec.size();
  if (spec.modules_size() > 0) out.modules.assign(spec.modules().begin(), spec.modules().end());
  for (int i = 0; i < spec.modules_size(); ++i) {
    CheckPath(absl::StrCat("modules[", i, "]"), spec.modules(i), &reader);
  }
  if (spec.zygote_command_size() > 0) {
    out.zygote_command.assign(spec.zygote_command().begin(), spec.zygote_command().end());
  }
  for (int i = 0; i < spec.zygote_command_size(); ++i) {
    reader.CheckNoNul(absl::StrCat("zygote_command[", i, "]"), spec.zygote_command(i));
  }
  if (spec.env_size() > 0) out.env = {spec.env().begin(), spec.env().end()};
  for (const auto& [name, value] : spec.env()) reader.CheckEnvironment("env", name, value);
  if (!spec.cwd().empty()) {
    CheckPath("cwd", spec.cwd(), &reader);
    out.cwd = spec.cwd();
  }
  if (spec.max_tasks_per_worker() != 0) out.max_tasks_per_worker = spec.max_tasks_per_worker();
  if (spec.max_worker_rss_bytes() != 0) out.max_worker_rss_bytes = spec.max_worker_rss_bytes();
  if (spec.max_queued_tasks() != 0) out.max_queued_tasks = spec.max_queued_tasks();
  if (spec.max_queued_bytes() != 0) out.max_queued_bytes = spec.max_queued_bytes();
  if (spec.max_dedicated() != 0) out.max_dedicated = spec.max_dedicated();
  if (spec.max_output_bytes() != 0) out.max_output_bytes = spec.max_output_bytes();

  if (!spec.interpreter().empty()) out.interpreter = spec.interpreter();
  reader.CheckNoNul("interpreter", spec.interpreter());
  if (spec.preload_size() > 0) out.preload.assign(spec.preload().begin(), spec.preload().end());
  for (int i = 0; i < spec.preload_size(); ++i) {
    CheckModule(absl::StrCat("preload[", i, "]"), spec.preload(i), &reader);
  }

  const auto read_duration = [&reader](absl::string_view field, bool set,
                                       const google::protobuf::Duration& value, bool zero_allowed,
                                       absl::Duration* target) {
    if (set) *target = reader.ReadDuration(field, value, zero_allowed).value_or(*target);
  };
  read_duration("max_worker_age", spec.has_max_worker_age(), spec.max_worker_age(), false,
                &out.max_worker_age);
  read_duration("task_timeout", spec.has_task_timeout(), spec.task_timeout(), false,
                &out.task_timeout);
  read_duration("task_grace", spec.has_task_grace(), spec.task_grace(), true, &out.task_grace);
  read_duration("start_timeout", spec.has_start_timeout(), spec.start_timeout(), false,
                &out.start_timeout);
  read_duration("idle_timeout", spec.has_idle_timeout(), spec.idle_timeout(), false,
                &out.idle_timeout);
  if (!violations.ok()) return violations.ToStatus();
  return out;
}

}  // namespace prefork::rpc

// prefork doctor: what is wrong, or soon will be, and the cure.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/version.h"
#include "client/cpp/address.h"
#include "client/cpp/autostart.h"
#include "common/os/cpu_quota.h"

namespace prefork::cli {
namespace {

enum class Verdict { kOk, kNote, kProblem };

struct Finding {
  Verdict verdict;
  std::string what;
  std::string cure;
};
using Findings = std::vector<Finding>;

void CheckDescriptors(Findings* findings) {
  constexpr rlim_t kComfortable = 4096;
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max >= kComfortable) {
    findings->push_back({Verdict::kOk, absl::StrCat("open files: ", limit.rlim_max), ""});
  } else {
    findings->push_back({Verdict::kProblem,
                         absl::StrCat("at most ", limit.rlim_max, " open files; a worker needs 4"),
                         "raise the hard limit: ulimit -Hn, or LimitNOFILE= in the unit"});
  }
}

void CheckProcesses(Findings* findings) {
  constexpr rlim_t kComfortable = 512;
  rlimit limit = {};
  getrlimit(RLIMIT_NPROC, &limit);
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= kComfortable) return;
  findings->push_back({Verdict::kProblem,
                       absl::StrCat("at most ", limit.rlim_cur, " processes of this user"),
                       "raise it: ulimit -u, or TasksMax= in the unit"});
}

void CheckCgroup(Findings* findings) {
  std::error_code error;
  struct stat info = {};
  if (stat("/sys/fs/cgroup/cgroup.controllers", &info) == 0) {
    findings->push_back({Verdict::kOk, "cgroup v2 is mounted", ""});
  } else {
    findings->push_back({Verdict::kNote,
                         "no cgroup v2 at /sys/fs/cgroup: kills for memory can't be proven",
                         "boot with systemd.unified_cgroup_hierarchy=1, or mount cgroup2"});
  }
  findings->push_back(
      {Verdict::kOk, absl::StrCat("CPUs that may be used: ", os::UsableCpus()), ""});
}

void CheckProgram(Findings* findings) {
  const auto daemon = client::FindDaemon();
  if (daemon.ok()) {
    findings->push_back({Verdict::kOk, absl::StrCat("preforkd is ", *daemon), ""});
  } else {
    findings->push_back({Verdict::kNote, "no preforkd to start when none runs",
                         std::string(daemon.status().message())});
  }
}

void CheckSocket(Context& context, Findings* findings) {
  const auto choice = client::ResolveAddress(context.options().address);
  if (!choice.ok()) {
    findings->push_back({Verdict::kProblem, std::string(choice.status().message()), ""});
    return;
  }
  for (const std::string& path : choice->socket_paths) {
    const absl::Status probe = client::ProbeSocket(path);
    struct stat info = {};
    if (probe.ok()) {
      findings->push_back({Verdict::kOk, absl::StrCat("a daemon listens on ", path), ""});
    } else if (absl::IsPermissionDenied(probe)) {
      findings->push_back({Verdict::kProblem, std::string(probe.message()),
                           "join the daemon's group, or use a private daemon"});
    } else if (stat(path.c_str(), &info) == 0) {
      findings->push_back({Verdict::kProblem, std::string(probe.message()),
                           "it is a leftover; the next daemon on it replaces it"});
    } else {
      findings->push_back({Verdict::kNote, std::string(probe.message()), ""});
    }
  }
}

void CheckDaemon(Context& context, Findings* findings) {
  const auto api = context.Connect();
  if (!api.ok()) {
    findings->push_back(
        {Verdict::kProblem, std::string(api.status().message()), "prefork daemon start"});
    return;
  }
  const auto status = (*api)->GetStatus();
  if (!status.ok()) {
    findings->push_back({Verdict::kProblem, std::string(status.status().message()),
                         "look at the daemon's log: prefork daemon log"});
    return;
  }
  if (status->version() == kVersion) {
    findings->push_back({Verdict::kOk, absl::StrCat("client and daemon are ", kVersion), ""});
  } else {
    findings->push_back(
        {Verdict::kNote,
         absl::StrCat("the client is ", kVersion, ", the daemon ", status->version()),
         "restart the daemon after an upgrade: prefork shutdown"});
  }
  for (const std::string& warning : status->warnings()) {
    findings->push_back({Verdict::kProblem, warning, ""});
  }
  for (const v1::Pool& pool : status->pools()) {
    const std::string name =
        absl::StrCat("pool ", pool.spec().name(), " is ", PoolStateName(pool.state()));
    if (pool.state() == v1::POOL_STATE_DEGRADED) {
      findings->push_back({Verdict::kProblem, absl::StrCat(name, ": ", pool.reason()), ""});
    } else {
      findings->push_back({Verdict::kOk, name, ""});
    }
  }
}

absl::StatusOr<int> Doctor(Context& context, const NoOptions& /*options*/) {
  Findings findings;
  CheckDescriptors(&findings);
  CheckProcesses(&findings);
  CheckCgroup(&findings);
  CheckProgram(&findings);
  CheckSocket(context, &findings);
  CheckDaemon(context, &findings);

  const Style style = context.out_style();
  bool healthy = true;
  for (const Finding& finding : findings) {
    healthy = healthy && finding.verdict != Verdict::kProblem;
    const char* const word = finding.verdict == Verdict::kOk     ? "ok"
                             : finding.verdict == Verdict::kNote ? "note"
                                                                 : "problem";
    const Color color = finding.verdict == Verdict::kOk     ? Color::kGreen
                        : finding.verdict == Verdict::kNote ? Color::kYellow
                                                            : Color::kRed;
    if (context.options().json) {
      google::protobuf::Struct line;
      (*line.mutable_fields())["verdict"] = JsonString(word);
      (*line.mutable_fields())["what"] = JsonString(finding.what);
      (*line.mutable_fields())["cure"] = JsonString(finding.cure);
      std::cout << ToJson(line) << '\n';
      continue;
    }
    std::cout << style.Paint(color, word) << std::string(9 - std::string(word).size(), ' ')
              << finding.what << '\n';
    if (!finding.cure.empty()) std::cout << "         cure: " << finding.cure << '\n';
  }
  return healthy ? kExitOk : kExitFailure;
}

}  // namespace

void AddDoctor(CLI::App& app, Context& context) {
  std::shared_ptr<NoOptions> none;
  AddVerb(app, context, "doctor", "Look for what is wrong, and say the cure", Doctor, &none)
      ->footer("Ends with 1 when there is a problem.");
}

}  // namespace prefork::cli

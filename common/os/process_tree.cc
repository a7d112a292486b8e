// Signalling a process tree without a cgroup.
//
//   root (session leader)            the tree:    by parent links, from /proc/PID/task/*/children
//    +- a        same group          its groups:  those led by a member of the tree; kill(-group)
//    |   +- b    same group                       reaches all members at once, also those that are
//    |                                            being forked at this moment
//    +- c        setsid: own group   the rest:    what shares root's session although its parent
//   d            double-forked                    is dead, from a scan of all /proc/PID/stat
//
// A pid found in /proc is opened as a pidfd and its start time is read again, so that a number
// reused in between is never signalled. Root's own number names its group and session even after
// root is dead: the kernel does not give it out again while either has a member. If it names
// another process now, nothing of root is left.
//
// The scan costs as much as the host has processes, so SignalTree makes it only for a dead root. A
// living root that is a subreaper, as workers are, keeps its whole tree linked below it; of another
// one, what was double-forked is a child of the subreaper above, who has to look after it.
//
// KillTree repeats find, kill, wait until it finds nothing. It finds the descendants before it
// kills a parent, because the links are gone with the parent. It waits on the pidfds and never
// polls by time.
#include "common/os/process_tree.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/os/errno_status.h"
#include "common/os/proc_file.h"
#include "common/os/process_stats.h"

namespace prefork::os {
namespace {

// The entries of a directory that are numbers; empty when it is gone.
std::vector<pid_t> NumericEntries(const std::string& path) {
  std::vector<pid_t> numbers;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  if (directory == nullptr) return numbers;
  while (const dirent* entry = readdir(directory.get())) {
    pid_t number;
    if (absl::SimpleAtoi(entry->d_name, &number)) numbers.push_back(number);
  }
  return numbers;
}

using Snapshot = absl::flat_hash_map<pid_t, ProcessStats>;

Snapshot AllProcesses() {
  Snapshot all;
  for (const pid_t pid : NumericEntries("/proc")) {
    if (absl::StatusOr<ProcessStats> stats = ReadProcessStats(pid); stats.ok())
      all.emplace(pid, *stats);
  }
  return all;
}

// Does this kernel list children (CONFIG_PROC_CHILDREN)?
bool KernelListsChildren() {
  static const bool lists = access("/proc/thread-self/children", R_OK) == 0;
  return lists;
}

bool IsDead(const ProcessStats& stats) { return stats.state == 'Z' || stats.state == 'X'; }

// Collects what is alive of a tree, `root` not included.
class TreeWalk {
 public:
  explicit TreeWalk(const Pidfd& root) : root_(root) {}

  void AddByParentLinks() {
    if (NumberWasReused()) return;
    std::vector<pid_t> parents = {root_.pid()};
    while (!parents.empty()) {
      const pid_t parent = parents.back();
      parents.pop_back();
      for (const pid_t child : ListChildren(parent)) {
        if (child == root_.pid() || found_.contains(child)) continue;
        absl::StatusOr<ProcessStats> stats = ReadProcessStats(child);
        if (!stats.ok()) continue;
        found_.emplace(child, *stats);
        parents.push_back(child);
      }
    }
  }

  void AddBySession() {
    if (NumberWasReused()) return;
    for (const auto& [pid, stats] : AllProcesses()) {
      if (pid == root_.pid() || found_.contains(pid)) continue;
      if (stats.session == root_.pid() || stats.process_group == root_.pid())
        found_.emplace(pid, stats);
    }
  }

  Snapshot TakeLiving() {
    absl::erase_if(found_, [](const auto& entry) { return IsDead(entry.second); });
    return std::move(found_);
  }

 private:
  bool NumberWasReused() const {
    if (!root_.HasExited()) return false;
    const absl::StatusOr<ProcessStats> stats = ReadProcessStats(root_.pid());
    return stats.ok() && !IsDead(*stats);
  }

  const Pidfd& root_;
  Snapshot found_;
};

enum class Search { kParentLinks, kParentLinksAndSession };

Snapshot Descendants(const Pidfd& root, Search search) {
  TreeWalk walk(root);
  walk.AddByParentLinks();
  if (search == Search::kParentLinksAndSession) walk.AddBySession();
  return walk.TakeLiving();
}

// While root lives links and groups reach its tree at the price of that tree, not of the host. Only
// what a dead root left behind takes the scan.
Search Reachable(const Pidfd& root) {
  return root.HasExited() ? Search::kParentLinksAndSession : Search::kParentLinks;
}

// A handle on the very process that `stats` was read from, or nothing if it is gone.
absl::StatusOr<Pidfd> OpenSame(pid_t pid, const ProcessStats& stats) {
  absl::StatusOr<Pidfd> process = Pidfd::Open(pid);
  if (!process.ok()) return process;
  const absl::StatusOr<ProcessStats> now = ReadProcessStats(pid);
  if (!now.ok()) return now.status();
  if (now->start_ticks != stats.start_ticks)
    return absl::NotFoundError("the process ended and its pid was reused");
  return process;
}

// Signals every process of `tree` and root once; the members of a group that the tree leads through
// their group.
absl::Status SignalAll(const Pidfd& root, const Snapshot& tree, int signal) {
  absl::Status first_error;
  const auto note = [&](const absl::Status& status) {
    if (!absl::IsNotFound(status)) first_error.Update(status);
  };
  absl::flat_hash_set<pid_t> groups;
  const absl::StatusOr<ProcessStats> root_stats = ReadProcessStats(root.pid());
  const bool root_leads_group = root_stats.ok() && root_stats->process_group == root.pid();
  for (const auto& [pid, stats] : tree) {
    const pid_t group = stats.process_group;
    if (group == root.pid() || tree.contains(group)) groups.insert(group);
  }
  if (root_leads_group && !root.HasExited()) groups.insert(root.pid());
  for (const auto& [pid, stats] : tree) {
    if (groups.contains(stats.process_group)) continue;
    absl::StatusOr<Pidfd> process = OpenSame(pid, stats);
    note(process.ok() ? process->SendSignal(signal) : process.status());
  }
  for (const pid_t group : groups) {
    if (kill(-group, signal) != 0 && errno != ESRCH) {
      note(ErrnoStatus(errno, absl::StrCat("kill of process group ", group)));
    }
  }
  if (!groups.contains(root.pid()) || !root_leads_group) note(root.SendSignal(signal));
  return first_error;
}

// Waits until all of them and root have ended; names those that have not by `deadline`.
std::vector<pid_t> WaitForEnds(const Pidfd& root, const std::vector<Pidfd>& processes,
                               absl::Time deadline) {
  std::vector<pid_t> alive;
  const auto wait_for = [&](const Pidfd& process) {
    const absl::Duration left = std::max(absl::ZeroDuration(), deadline - absl::Now());
    pollfd ended = {process.fd(), POLLIN, 0};
    const int timeout_ms =
        static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))));
    // A signal handler of ours may cut the wait short; that only makes the caller look again.
    if (poll(&ended, 1, timeout_ms) == 0) alive.push_back(process.pid());
  };
  for (const Pidfd& process : processes) wait_for(process);
  wait_for(root);
  return alive;
}

}  // namespace

std::vector<pid_t> ListChildren(pid_t pid) {
  std::vector<pid_t> children;
  if (!KernelListsChildren()) {
    for (const auto& [child, stats] : AllProcesses()) {
      if (stats.parent == pid) children.push_back(child);
    }
    return children;
  }
  const std::string tasks = absl::StrCat("/proc/", pid, "/task");
  for (const pid_t thread : NumericEntries(tasks)) {
    const absl::StatusOr<std::string> content =
        ReadSmallFile(absl::StrCat(tasks, "/", thread, "/children"));
    if (!content.ok()) continue;
    for (const absl::string_view word : absl::StrSplit(*content, ' ', absl::SkipEmpty())) {
      pid_t child;
      if (absl::SimpleAtoi(word, &child)) children.push_back(child);
    }
  }
  return children;
}

std::vector<pid_t> ListDescendants(const Pidfd& root) {
  std::vector<pid_t> pids;
  for (const auto& [pid, stats] : Descendants(root, Search::kParentLinksAndSession))
    pids.push_back(pid);
  std::sort(pids.begin(), pids.end());
  return pids;
}

absl::Status SignalTree(const Pidfd& root, int signal) {
  return SignalAll(root, Descendants(root, Reachable(root)), signal);
}

absl::Status SignalDescendants(const Pidfd& root, int signal) {
  absl::Status first_error;
  for (const auto& [pid, stats] : Descendants(root, Reachable(root))) {
    const absl::StatusOr<Pidfd> process = OpenSame(pid, stats);
    const absl::Status status = process.ok() ? process->SendSignal(signal) : process.status();
    if (!absl::IsNotFound(status)) first_error.Update(status);
  }
  return first_error;
}

absl::Status KillTree(const Pidfd& root, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  Search search = Reachable(root);  // the scan comes afterwards and finds what links missed
  for (;;) {
    const Snapshot tree = Descendants(root, search);
    if (tree.empty() && root.HasExited() && search == Search::kParentLinksAndSession)
      return absl::OkStatus();
    std::vector<Pidfd> processes;
    for (const auto& [pid, stats] : tree) {
      if (absl::StatusOr<Pidfd> process = OpenSame(pid, stats); process.ok())
        processes.push_back(*std::move(process));
    }
    if (absl::Status status = SignalAll(root, tree, SIGKILL); !status.ok()) return status;
    std::vector<pid_t> survivors = WaitForEnds(root, processes, deadline);
    if (!survivors.empty()) {
      return absl::DeadlineExceededError(
          absl::StrCat("processes still alive ", absl::FormatDuration(timeout),
                       " after SIGKILL: ", absl::StrJoin(survivors, " ")));
    }
    search = Search::kParentLinksAndSession;
    if (absl::Now() >= deadline && !Descendants(root, search).empty()) {
      return absl::DeadlineExceededError(
          absl::StrCat("the tree of process ", root.pid(), " forks faster than it can be killed"));
    }
  }
}

}  // namespace prefork::os

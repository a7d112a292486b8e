#include "server/config/schema.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "common/shm/lane_layout.h"
#include "server/pool/pool_spec.h"

namespace prefork::config {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kHour = 3600 * kSecond;
constexpr uint64_t kKib = 1024;
constexpr uint64_t kMib = kKib * kKib;
constexpr uint64_t kTib = kMib * kMib;
constexpr uint64_t kNoMax = UINT64_MAX;
constexpr uint64_t kMaxCount = 1'000'000'000;
// In whole KiB: what fits into a lane with every name that a task may have.
constexpr uint64_t kMaxInlinePayload = shm::kMaxInlinePayloadBytes / kKib * kKib;

constexpr std::array<Section, 6> kSections = {{
    {"daemon", "The daemon itself: where it listens, who may talk to it, when it ends."},
    {"tls", "A second listener for other machines. TCP is served with TLS only."},
    {"results", "How long finished tasks are kept. The oldest are forgotten first."},
    {"limits", "Bounds on memory. Over one there is backpressure or RESOURCE_EXHAUSTED."},
    {kPoolDefaultsSection, "What pools take when they leave a key out."},
    {kPoolSection,
     "One table per pool, [pool.NAME]; a name is 1 to 63 of a-z 0-9 . _ -. Without any, there is "
     "one pool \"default\" of the runtime \"command\"."},
}};

// Where a key of a section, or of a pool, is kept.
template <auto kSection, auto kMember>
Slot InConfig(Config& config, pool::PoolSpec& /*pool*/) {
  return &(config.*kSection.*kMember);
}
template <auto kMember>
Slot InPool(Config& /*config*/, pool::PoolSpec& pool) {
  return &(pool.*kMember);
}

const std::array<Key, 46> kKeys = {{
    {"daemon",
     "socket",
     {ValueType::kPath},
     "Unix socket for clients. Empty: /run/prefork/prefork.sock for root, for others "
     "prefork/prefork.sock below $XDG_RUNTIME_DIR.",
     InConfig<&Config::daemon, &DaemonConfig::socket>},
    {"daemon",
     "socket_mode",
     {ValueType::kFileMode, 0, 0777},
     "File mode of the socket: who may connect at all.",
     InConfig<&Config::daemon, &DaemonConfig::socket_mode>},
    {"daemon",
     "socket_group",
     {ValueType::kText},
     "Group that the socket is given to. Empty: the daemon's own.",
     InConfig<&Config::daemon, &DaemonConfig::socket_group>},
    {"daemon",
     "allow_users",
     {ValueType::kTextList},
     "Users, by name or number, who may use the daemon beside root and its own user. Empty: "
     "everyone who can open the socket. They see and control their own tasks only.",
     InConfig<&Config::daemon, &DaemonConfig::allow_users>},
    {"daemon",
     "log_level",
     {ValueType::kLogLevel},
     "Least important lines that are logged to stderr.",
     InConfig<&Config::daemon, &DaemonConfig::log_level>},
    {"daemon",
     "idle_timeout",
     {ValueType::kDuration, kSecond, kNoMax},
     "The daemon ends itself after so long without sessions and unfinished tasks.",
     InConfig<&Config::daemon, &DaemonConfig::idle_timeout>},
    {"daemon",
     "drain_timeout",
     {ValueType::kDuration, 0, 24 * kHour},
     "How long SIGTERM lets tasks finish before they are cancelled.",
     InConfig<&Config::daemon, &DaemonConfig::drain_timeout>},
    {"daemon",
     "worker_program",
     {ValueType::kPath},
     "Path of prefork-worker. Empty: the one installed with the daemon.",
     InConfig<&Config::daemon, &DaemonConfig::worker_program>},

    {"tls",
     "listen",
     {ValueType::kText},
     "Address as \"host:port\". Empty: none. Needs the three files below.",
     InConfig<&Config::tls, &TlsConfig::listen>},
    {"tls",
     "certificate",
     {ValueType::kPath},
     "Certificate chain of the daemon, PEM.",
     InConfig<&Config::tls, &TlsConfig::certificate>},
    {"tls",
     "key",
     {ValueType::kPath},
     "Private key of the certificate, PEM.",
     InConfig<&Config::tls, &TlsConfig::key>},
    {"tls",
     "client_ca",
     {ValueType::kPath},
     "Authorities that clients' certificates must come from, PEM.",
     InConfig<&Config::tls, &TlsConfig::client_ca>},

    {"results",
     "ttl",
     {ValueType::kDuration, 0, kNoMax},
     "Age at which a finished task is forgotten, unless it says otherwise.",
     InConfig<&Config::results, &ResultsConfig::ttl>},
    {"results",
     "max_tasks",
     {ValueType::kCount, 0, kMaxCount},
     "Finished tasks kept.",
     InConfig<&Config::results, &ResultsConfig::max_tasks>},
    {"results",
     "max_bytes",
     {ValueType::kBytes},
     "Memory for their values and output.",
     InConfig<&Config::results, &ResultsConfig::max_bytes>},

    {"limits",
     "max_payload",
     {ValueType::kBytes, kKib, kTib},
     "Largest payload of one task, and largest value.",
     InConfig<&Config::limits, &LimitsConfig::max_payload_bytes>},
    {"limits",
     "inline_payload",
     {ValueType::kBytes, 64, kMaxInlinePayload},
     "Payloads and values up to this size travel in the worker's lane, larger ones in a shared "
     "memory segment.",
     InConfig<&Config::limits, &LimitsConfig::inline_payload_bytes>},
    {"limits",
     "segments",
     {ValueType::kBytes, 64 * kKib, kNoMax},
     "Shared memory for large payloads and values, in use and warm together.",
     InConfig<&Config::limits, &LimitsConfig::segment_bytes>},
    {"limits",
     "warm_segments",
     {ValueType::kBytes},
     "Part of it that may be kept for reuse: warm memory is many times faster than fresh.",
     InConfig<&Config::limits, &LimitsConfig::warm_segment_bytes>},
    {"limits",
     "client_segments",
     {ValueType::kCount, 0, kMaxCount},
     "Segments that one client on this host may hold at a time, for payloads and values.",
     InConfig<&Config::limits, &LimitsConfig::client_segments>},
    {"limits",
     "client_segment_bytes",
     {ValueType::kBytes},
     "Bytes of them. A client that needs more sends and gets the rest in chunks.",
     InConfig<&Config::limits, &LimitsConfig::client_segment_bytes>},
    {"limits",
     "clients_segment_bytes",
     {ValueType::kBytes},
     "The same for all clients together; the rest of limits.segments is left to values.",
     InConfig<&Config::limits, &LimitsConfig::clients_segment_bytes>},
    {"limits",
     "events",
     {ValueType::kCount, 1000, kMaxCount},
     "Events kept, so that a watch can resume where it was.",
     InConfig<&Config::limits, &LimitsConfig::events>},
    {"limits",
     "event_memory",
     {ValueType::kBytes, kMib, kNoMax},
     "Memory for those events.",
     InConfig<&Config::limits, &LimitsConfig::event_bytes>},
    {"limits",
     "session_tasks",
     {ValueType::kCount, 1, kMaxCount},
     "Unfinished tasks of one session; over it the session's stream is not read.",
     InConfig<&Config::limits, &LimitsConfig::session_tasks>},
    {"limits",
     "pools",
     {ValueType::kCount, 1, 65536},
     "Pools at once.",
     InConfig<&Config::limits, &LimitsConfig::pools>},
    {"limits",
     "unused_pools",
     {ValueType::kCount, 0, 65536},
     "Pools with an idle_timeout that are kept without a task when another one is made; the "
     "longest unused end.",
     InConfig<&Config::limits, &LimitsConfig::unused_pools>},

    {"pool",
     "runtime",
     {ValueType::kRuntime},
     "What the workers run: \"command\" executes programs, \"native\" calls C++ functions of the "
     "pool's modules, \"python\" calls Python functions.",
     InPool<&pool::PoolSpec::runtime>},
    {"pool",
     "size",
     {ValueType::kCount, 0, pool::kMaxPoolSize},
     "Workers. 0: as many as the CPU quota and affinity allow.",
     InPool<&pool::PoolSpec::size>},
    {"pool",
     "modules",
     {ValueType::kPathList},
     "Runtime native: shared libraries that register functions.",
     InPool<&pool::PoolSpec::modules>},
    {"pool",
     "interpreter",
     {ValueType::kText},
     "Runtime python: the interpreter, a path or a name on the daemon's PATH; the package prefork "
     "is installed in it.",
     InPool<&pool::PoolSpec::interpreter>},
    {"pool",
     "preload",
     {ValueType::kTextList},
     "Runtime python: modules that are imported before workers are forked.",
     InPool<&pool::PoolSpec::preload>},
    {"pool",
     "zygote_command",
     {ValueType::kTextList},
     "Program and arguments of the pool's zygote. Empty: the runtime's own.",
     InPool<&pool::PoolSpec::zygote_command>},
    {"pool",
     "env",
     {ValueType::kTextMap},
     "Set in the environment of zygote and workers.",
     InPool<&pool::PoolSpec::env>},
    {"pool",
     "cwd",
     {ValueType::kPath},
     "Working directory of the workers. Empty: the daemon's.",
     InPool<&pool::PoolSpec::cwd>},
    {"pool",
     "max_tasks_per_worker",
     {ValueType::kCount},
     "A worker is replaced after so many tasks. 0: never.",
     InPool<&pool::PoolSpec::max_tasks_per_worker>},
    {"pool",
     "max_worker_age",
     {ValueType::kDuration, kSecond, kNoMax},
     "A worker is replaced at this age.",
     InPool<&pool::PoolSpec::max_worker_age>},
    {"pool",
     "max_worker_rss",
     {ValueType::kBytes},
     "A worker is replaced between two tasks when its own resident memory, without what it "
     "shares, is larger. 0: never.",
     InPool<&pool::PoolSpec::max_worker_rss_bytes>},
    {"pool",
     "max_queued_tasks",
     {ValueType::kCount, 1, kMaxCount},
     "Unfinished tasks; over it a submit is RESOURCE_EXHAUSTED.",
     InPool<&pool::PoolSpec::max_queued_tasks>},
    {"pool",
     "max_queued_bytes",
     {ValueType::kBytes, kKib, kNoMax},
     "Bytes of their payloads; over it a submit is RESOURCE_EXHAUSTED.",
     InPool<&pool::PoolSpec::max_queued_bytes>},
    {"pool",
     "task_timeout",
     {ValueType::kDuration, kSecond / 1000, kNoMax},
     "How long one attempt of a task may run, unless the task says otherwise.",
     InPool<&pool::PoolSpec::task_timeout>},
    {"pool",
     "task_grace",
     {ValueType::kDuration, 0, kHour},
     "Between SIGTERM and SIGKILL when a task is stopped.",
     InPool<&pool::PoolSpec::task_grace>},
    {"pool",
     "start_timeout",
     {ValueType::kDuration, kSecond / 10, kHour},
     "How long a zygote or worker may take until it is ready.",
     InPool<&pool::PoolSpec::start_timeout>},
    {"pool",
     "max_dedicated",
     {ValueType::kCount, 0, pool::kMaxPoolSize},
     "Dedicated processes at once, beside the workers.",
     InPool<&pool::PoolSpec::max_dedicated>},
    {"pool",
     "max_output",
     {ValueType::kBytes, 4 * kKib, kTib},
     "Bytes of stdout and of stderr kept per task; of more, the middle is dropped.",
     InPool<&pool::PoolSpec::max_output_bytes>},
    {"pool",
     "idle_timeout",
     {ValueType::kDuration, kSecond, kNoMax},
     "The pool is deleted after so long without a task, waiting or running.",
     InPool<&pool::PoolSpec::idle_timeout>},
}};

}  // namespace

absl::Span<const Section> Sections() { return kSections; }

std::vector<const Key*> KeysOf(std::string_view section) {
  if (section == kPoolDefaultsSection) section = kPoolSection;
  std::vector<const Key*> keys;
  for (const Key& key : kKeys) {
    if (key.section == section) keys.push_back(&key);
  }
  return keys;
}

const Key* FindKey(std::string_view section, std::string_view name) {
  for (const Key* key : KeysOf(section)) {
    if (key->name == name) return key;
  }
  return nullptr;
}

std::string EnvironmentName(std::string_view path) {
  std::string name = "PREFORK_";
  for (const char c : path) {
    const bool keep = std::isalnum(static_cast<unsigned char>(c)) != 0;
    name += keep ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : '_';
  }
  return name;
}

}  // namespace prefork::config

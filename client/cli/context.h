#ifndef PREFORK_CLIENT_CLI_CONTEXT_H_
#define PREFORK_CLIENT_CLI_CONTEXT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/style.h"
#include "prefork/api.h"
#include "prefork/client.h"

namespace prefork::cli {

// What the program ends with, beside a task's own code.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailure = 1,
  kExitUsage = 2,
  kExitUnreachable = 3,
  kExitNotFound = 4,
  kExitTimedOut = 5,
};
int ExitCodeOf(const absl::Status& status);

// Options that every verb takes.
struct GlobalOptions {
  std::string address;
  std::optional<absl::Duration> timeout;
  bool json = false;
  bool quiet = false;
  bool no_autostart = false;
  ColorMode color = ColorMode::kAuto;
};

// What a verb works with: the options, the connection (made when first asked for) and the styles of
// the two outputs. stdout gets data, stderr gets talk.
class Context {
 public:
  GlobalOptions& options() { return options_; }
  // Set by the verb that was parsed; answers with the program's exit code.
  using Action = std::function<absl::StatusOr<int>()>;
  Action action;

  // What followed `--`, for verbs that end in a command.
  std::vector<std::string> words_after_dashes;

  // Verbs that only look (status, list, top ...) do not start a daemon.
  enum class Start { kMay, kNever };
  absl::StatusOr<client::Api*> Connect(Start start = Start::kNever);
  // A session, for verbs that run tasks as long as they live.
  absl::StatusOr<client::Client*> ConnectSession(client::EventOptions events, size_t max_in_flight);

  Style out_style() const { return Style::For(options_.color, 1); }
  Style err_style() const { return Style::For(options_.color, 2); }

  // `text` is a full task ID or the short number that tables show. INVALID_ARGUMENT for what is no
  // number.
  absl::StatusOr<uint64_t> ResolveTask(const std::string& text);
  // The short number of a task; the full ID while the daemon's first ID is unknown.
  uint64_t ShortNumber(uint64_t task_id);
  // NOT_FOUND of a task said in the user's own words, with the newest task as a hint.
  absl::Status ExplainTask(const absl::Status& status, const std::string& text);
  // NOT_FOUND of a pool with the nearest name there is.
  absl::Status ExplainPool(const absl::Status& status, const std::string& name);

  // A line for people on stderr, unless --quiet.
  void Talk(const std::string& line) const;

 private:
  client::ConnectOptions MakeConnectOptions(Start start) const;
  absl::StatusOr<uint64_t> FirstTaskId();

  GlobalOptions options_;
  std::unique_ptr<client::Api> api_;
  std::optional<client::Client> session_;
  std::optional<uint64_t> first_task_id_;
};

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_CONTEXT_H_

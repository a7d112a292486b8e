#include "client/cli/options.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/text/nearest.h"
#include "common/text/units.h"

namespace prefork::cli {
namespace {

using client::ResourceLimit;
using client::RetryPolicy;

constexpr std::array<std::pair<const char*, RetryPolicy::Cause>, 4> kRetryCauses = {{
    {"error", RetryPolicy::Cause::kTaskError},
    {"crash", RetryPolicy::Cause::kCrash},
    {"oom", RetryPolicy::Cause::kOutOfMemory},
    {"timeout", RetryPolicy::Cause::kTimeout},
}};

constexpr std::array<std::pair<const char*, ResourceLimit::Resource>, 7> kLimits = {{
    {"cpu", ResourceLimit::Resource::kCpuSeconds},
    {"memory", ResourceLimit::Resource::kAddressSpace},
    {"file-size", ResourceLimit::Resource::kFileSize},
    {"open-files", ResourceLimit::Resource::kOpenFiles},
    {"core", ResourceLimit::Resource::kCoreSize},
    {"stack", ResourceLimit::Resource::kStackSize},
    {"processes", ResourceLimit::Resource::kProcesses},
}};

template <typename Entries>
auto Find(const Entries& entries, const std::string& option, const std::string& word)
    -> absl::StatusOr<decltype(entries[0].second)> {
  std::vector<std::string> names;
  for (const auto& [name, value] : entries) {
    if (word == name) return value;
    names.emplace_back(name);
  }
  const std::string nearest = text::Nearest(word, names);
  std::string known;
  for (const std::string& name : names) absl::StrAppend(&known, known.empty() ? "" : ", ", name);
  return absl::InvalidArgumentError(
      absl::StrCat(option, ": no '", word, "'; ",
                   nearest.empty() ? absl::StrCat("it is one of ", known)
                                   : absl::StrCat("did you mean '", nearest, "'?")));
}

absl::StatusOr<ResourceLimit> ParseLimit(const std::string& text) {
  const auto pair = SplitPair("--limit", text);
  if (!pair.ok()) return pair.status();
  const auto resource = Find(kLimits, "--limit", pair->first);
  if (!resource.ok()) return resource.status();
  if (*resource == ResourceLimit::Resource::kCpuSeconds) {
    const auto duration = text::ParseDuration(pair->second);
    if (!duration.ok())
      return absl::InvalidArgumentError(absl::StrCat("--limit cpu: ", duration.status().message()));
    return ResourceLimit{*resource, static_cast<uint64_t>(absl::ToInt64Seconds(*duration))};
  }
  const auto bytes = text::ParseBytes(pair->second);
  if (!bytes.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--limit ", pair->first, ": ", bytes.status().message()));
  }
  return ResourceLimit{*resource, *bytes};
}

}  // namespace

CLI::Option* AddDuration(CLI::App* verb, const std::string& name,
                         std::optional<absl::Duration>* target, const std::string& help) {
  return verb
      ->add_option_function<std::string>(
          name,
          [target, name](const std::string& text) {
            const auto duration = text::ParseDuration(text);
            if (!duration.ok()) {
              throw CLI::ValidationError(name, std::string(duration.status().message()));
            }
            *target = *duration;
          },
          help)
      ->type_name("DURATION");
}

CLI::Option* AddBytes(CLI::App* verb, const std::string& name, std::optional<uint64_t>* target,
                      const std::string& help) {
  return verb
      ->add_option_function<std::string>(
          name,
          [target, name](const std::string& text) {
            const auto bytes = text::ParseBytes(text);
            if (!bytes.ok()) {
              throw CLI::ValidationError(name, std::string(bytes.status().message()));
            }
            *target = *bytes;
          },
          help)
      ->type_name("SIZE");
}

void AddGlobalOptions(CLI::App* app, GlobalOptions* options) {
  app->add_option("--address", options->address,
                  "The daemon's socket, unix:/path (or $PREFORK_ADDRESS)")
      ->type_name("ADDRESS");
  AddDuration(app, "--timeout", &options->timeout,
              "Wait at most so long for the daemon (exit code 5)");
  app->add_flag("--json", options->json, "JSON on stdout: one document, or one object a line");
  app->add_flag("-q,--quiet", options->quiet, "No talk; only IDs and data");
  app->add_flag("--no-autostart", options->no_autostart, "Never start a private daemon");
  app->add_option_function<std::string>(
         "--color",
         [options](const std::string& when) {
           if (when == "auto") {
             options->color = ColorMode::kAuto;
           } else if (when == "always" || when == "never") {
             options->color = when == "always" ? ColorMode::kAlways : ColorMode::kNever;
           } else {
             throw CLI::ValidationError("--color", "'" + when + "' is not auto, always or never");
           }
         },
         "auto, always or never")
      ->type_name("WHEN");
}

// CLI11 hands words that a verb does not know up to the program (fallthrough), and would do so with
// the command's; so such a verb knows the program's options itself.
void TakeCommand(CLI::App* verb, Context* context) {
  const size_t own = verb->get_options().size();
  AddGlobalOptions(verb, &context->options());
  const std::vector<CLI::Option*> all = verb->get_options(nullptr);
  for (size_t i = own; i < all.size(); ++i) all[i]->group("");
  verb->fallthrough(false);
  verb->prefix_command();
}

std::vector<std::string> CommandWords(const CLI::App& verb, const Context& context) {
  std::vector<std::string> words = verb.remaining();
  words.insert(words.end(), context.words_after_dashes.begin(), context.words_after_dashes.end());
  return words;
}

void AddTaskOptions(CLI::App* verb, TaskOptions* options) {
  verb->add_option("-p,--pool", options->pool, "Pool that runs it")->type_name("POOL");
  verb->add_option("--priority", options->priority, "Larger runs first, -1000 to 1000")
      ->check(CLI::Range(-1000, 1000));
  AddDuration(verb, "--delay", &options->delay, "Not before so long from now");
  AddDuration(verb, "--task-timeout", &options->task_timeout,
              "End an attempt that runs longer: SIGTERM, the grace, SIGKILL");
  AddDuration(verb, "--grace", &options->grace, "Between SIGTERM and SIGKILL");
  AddDuration(verb, "--queue-timeout", &options->queue_timeout, "Give up if it waits longer");
  verb->add_option("--retry", options->retries, "Attempts after the first")
      ->check(CLI::Range(0U, 999U))
      ->type_name("N");
  verb->add_option("--retry-on", options->retry_on,
                   "What is retried: error, crash, oom, timeout (default: crash)")
      ->delimiter(',')
      ->type_name("CAUSE");
  AddDuration(verb, "--backoff", &options->backoff, "Before the second attempt; doubles each time");
  verb->add_option("-l,--label", options->labels, "A label, for list and watch")
      ->type_name("NAME=VALUE");
  verb->add_option("--after", options->after, "Only when these tasks have succeeded")
      ->delimiter(',')
      ->type_name("ID");
  AddDuration(verb, "--ttl", &options->ttl, "Keep the finished task so long");
  verb->add_flag("--dedicated", options->dedicated, "In a fresh process of its own");
}

void AddCommandOptions(CLI::App* verb, TaskOptions* options) {
  verb->add_option("-e,--env", options->env, "Set in the command's environment")
      ->type_name("NAME=VALUE");
  verb->add_option("-C,--cwd", options->cwd, "Working directory (default: this one)")
      ->type_name("DIR");
  verb->add_option("--limit", options->limits,
                   "Resource limit: cpu, memory, file-size, open-files, core, stack, processes")
      ->type_name("NAME=VALUE");
}

absl::StatusOr<std::pair<std::string, std::string>> SplitPair(const std::string& option,
                                                              const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(option, " '", text, "': write it as NAME=VALUE"));
  }
  return std::make_pair(text.substr(0, equals), text.substr(equals + 1));
}

absl::StatusOr<client::TaskSpec> MakeSpec(Context& context, const TaskOptions& options) {
  client::TaskSpec spec;
  spec.pool = options.pool;
  spec.priority = options.priority;
  spec.delay = options.delay;
  spec.timeout = options.task_timeout;
  spec.grace = options.grace;
  spec.queue_timeout = options.queue_timeout;
  spec.result_ttl = options.ttl;
  spec.request_id = options.request_id;
  spec.dedicated = options.dedicated;
  if (options.retries == 0 && (!options.retry_on.empty() || options.backoff)) {
    return absl::InvalidArgumentError("--retry-on and --backoff need --retry N");
  }
  if (options.retries > 0) spec.retry.max_attempts = options.retries + 1;
  spec.retry.backoff = options.backoff;
  for (const std::string& word : options.retry_on) {
    const auto cause = Find(kRetryCauses, "--retry-on", word);
    if (!cause.ok()) return cause.status();
    spec.retry.on.push_back(*cause);
  }
  for (const std::string& label : options.labels) {
    auto pair = SplitPair("--label", label);
    if (!pair.ok()) return pair.status();
    spec.labels.insert(*std::move(pair));
  }
  for (const std::string& text : options.after) {
    const auto task = context.ResolveTask(text);
    if (!task.ok()) return task.status();
    spec.after.push_back(*task);
  }
  return spec;
}

absl::StatusOr<client::Command> MakeCommand(const TaskOptions& options,
                                            std::vector<std::string> argv) {
  client::Command command;
  command.argv = std::move(argv);
  std::error_code error;
  command.cwd = options.cwd.empty() ? std::filesystem::current_path(error).string()
                                    : std::filesystem::absolute(options.cwd, error).string();
  for (const std::string& variable : options.env) {
    auto pair = SplitPair("--env", variable);
    if (!pair.ok()) return pair.status();
    command.env.insert(*std::move(pair));
  }
  for (const std::string& text : options.limits) {
    const auto limit = ParseLimit(text);
    if (!limit.ok()) return limit.status();
    command.limits.push_back(*limit);
  }
  return command;
}

absl::StatusOr<std::string> ReadAll(const std::string& path) {
  std::ostringstream content;
  if (path == "-") {
    content << std::cin.rdbuf();
    return content.str();
  }
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is a directory"));
  }
  const std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read '", path, "': ", std::strerror(errno)));
  }
  content << file.rdbuf();
  return content.str();
}

}  // namespace prefork::cli

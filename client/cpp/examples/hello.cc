// The shortest program: give the daemon a command, and print what it writes.
#include <prefork/client.h>

#include <iostream>
#include <variant>

using namespace prefork::client;  // NOLINT(google-build-using-namespace): a short example

int main() {
  absl::StatusOr<Client> client = Client::Connect({.events = {.output = true}});
  if (!client.ok()) return std::cerr << client.status() << '\n', 1;
  auto task = client->Submit({.command = Command{.argv = {"echo", "hello from a warm worker"}}},
                             {.on_event = [](const TaskHandle&, const TaskEvent& event) {
                               const auto* output = std::get_if<OutputWritten>(&event);
                               if (output != nullptr) std::cout << output->data;
                             }});
  if (!task.ok()) return std::cerr << task.status() << '\n', 1;
  absl::StatusOr<TaskResult> result = task->Get();
  absl::Status status = result.ok() ? ToStatus(*result) : result.status();
  return status.ok() ? 0 : (std::cerr << status << '\n', 1);
}

#ifndef PREFORK_CLIENT_PYTHON_NATIVE_LEASE_BUDGET_H_
#define PREFORK_CLIENT_PYTHON_NATIVE_LEASE_BUDGET_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "prefork/client.h"

// How much of the daemon's memory this process takes without being asked: payloads of tasks that have
// not ended, and values that Python still uses. Over it things go as they would without segments,
// with a copy more, so that a program which keeps all its results never uses up the bounds of its
// user (limits.client_segments, limits.client_segment_bytes). All functions are thread-safe and need
// no GIL.
namespace prefork::python {

// Room for a payload; null: over the budget, or the daemon refuses.
std::shared_ptr<client::Segment> AllocateWithinBudget(client::Client& client, size_t size_bytes);

// The outcome with its value in place if the budget allows, else with a copy of it.
absl::StatusOr<client::TaskResult> KeptWithinBudget(
    const absl::StatusOr<client::TaskResult>& outcome);

}  // namespace prefork::python

#endif  // PREFORK_CLIENT_PYTHON_NATIVE_LEASE_BUDGET_H_

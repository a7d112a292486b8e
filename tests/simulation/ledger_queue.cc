// The order in the queue: priority, then turns of the clients, then arrival.

#include <algorithm>
#include <cstdint>
#include <limits>

#include "server/scheduler/check.h"
#include "server/scheduler/types.h"
#include "tests/simulation/ledger.h"

namespace prefork::simulation {

using scheduler::Check;

namespace {

// A client is ahead of another by the turn it has and by one that the other has not taken yet.
constexpr int64_t kMaxLead = 2;

}  // namespace

void Ledger::Queue(TaskSlot slot, bool put_back) {
  const TaskRecord& task = tasks_[slot];
  Ring& ring = rings_[RingOf(task.spec)];
  // Where those stand who have used what they have to their credit.
  int64_t level = std::numeric_limits<int64_t>::min();
  for (const auto& [client, flow] : ring) {
    if (!IsHeld(client)) {
      level = std::max(level, flow.served + flow.credit);
    }
  }
  auto [it, entered] = ring.try_emplace(task.spec.client);
  Flow& flow = it->second;
  if (entered) {
    // At the end of the ring, or in front of it with the turn that it had.
    flow.served = (level == std::numeric_limits<int64_t>::min() ? 0 : level) - (put_back ? 1 : 0);
  } else if (put_back) {
    --flow.served;
    ++flow.credit;
  }
  flow.queued.emplace(task.order, slot);
}

void Ledger::Unqueue(TaskSlot slot) {
  const TaskRecord& task = tasks_[slot];
  const auto ring = rings_.find(RingOf(task.spec));
  Check(ring != rings_.end(), "a task that leaves the queue was in it");
  const auto flow = ring->second.find(task.spec.client);
  Check(flow != ring->second.end() && flow->second.queued.erase({task.order, slot}) == 1,
        "a task that leaves the queue was in it");
  if (flow->second.queued.empty()) {
    ring->second.erase(flow);
    if (ring->second.empty()) {
      rings_.erase(ring);
    }
  }
}

void Ledger::Abandon(TaskSlot slot) {
  const TaskRecord& task = tasks_[slot];
  Flow& flow = rings_.at(RingOf(task.spec)).at(task.spec.client);
  const bool alone = flow.queued.size() == 1;
  Unqueue(slot);
  // If the others came since, they may have found the flow empty and without the turns it had.
  if (!alone && flow.queued.begin()->first > read_order_) {
    flow.served += flow.credit;
  }
}

void Ledger::HoldClient(ClientKey client, bool held) {
  if (held == IsHeld(client)) {
    return;
  }
  if (held) {
    held_.insert(client);
    return;
  }
  held_.erase(client);
  for (auto& [key, ring] : rings_) {
    const auto it = ring.find(client);
    if (it == ring.end()) {
      continue;
    }
    // It comes back to the end of the ring, with what it has to its credit.
    int64_t level = std::numeric_limits<int64_t>::min();
    for (const auto& [other, flow] : ring) {
      if (other != client && !IsHeld(other)) {
        level = std::max(level, flow.served + flow.credit);
      }
    }
    if (level != std::numeric_limits<int64_t>::min()) {
      it->second.served = level - it->second.credit;
    }
  }
}

const Ledger::RingKey* Ledger::BestRing(PoolKey pool, bool dedicated) const {
  auto it = rings_.lower_bound({pool, dedicated, std::numeric_limits<int64_t>::min()});
  for (; it != rings_.end(); ++it) {
    const auto& [ring_pool, ring_dedicated, priority] = it->first;
    if (ring_pool != pool || ring_dedicated != dedicated) {
      break;
    }
    if (std::any_of(it->second.begin(), it->second.end(),
                    [this](const auto& flow) { return !IsHeld(flow.first); })) {
      return &it->first;
    }
  }
  return nullptr;
}

void Ledger::Choose(TaskSlot slot) {
  const TaskRecord& task = tasks_[slot];
  Check(task.state == TaskState::kQueued && !task.starting, "the chosen task was queued");
  Check(!IsHeld(task.spec.client), "nothing of a client that is held begins");
  const RingKey* best = BestRing(task.spec.pool, task.spec.dedicated);
  Check(best != nullptr && *best == RingOf(task.spec), "a task of the highest priority is chosen");
  Ring& ring = rings_.at(*best);
  Flow& flow = ring.at(task.spec.client);
  Check(flow.queued.begin()->first == task.order, "the first of a client's tasks is chosen");
  ++flow.served;
  flow.credit -= flow.credit > 0 ? 1 : 0;
  int64_t credit = 0;
  int64_t least = flow.served;
  for (const auto& [client, other] : ring) {
    if (IsHeld(client)) {
      continue;
    }
    least = std::min(least, other.served);
    credit = std::max(credit, other.credit);
  }
  Check(flow.served - least <= kMaxLead + credit, "no client gets ahead of another");
  Unqueue(slot);
}

}  // namespace prefork::simulation

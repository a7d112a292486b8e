#include "server/engine/waiters.h"

#include <utility>

namespace prefork::engine {

uint64_t Waiters::Add(TaskSlot slot, Done done) {
  const uint64_t id = next_id_++;
  by_task_[slot].push_back({id, std::move(done)});
  task_of_.emplace(id, slot);
  return id;
}

void Waiters::Cancel(uint64_t wait_id) {
  const auto it = task_of_.find(wait_id);
  if (it == task_of_.end()) return;
  const auto waiters = by_task_.find(it->second);
  std::erase_if(waiters->second, [wait_id](const Waiter& w) { return w.id == wait_id; });
  if (waiters->second.empty()) by_task_.erase(waiters);
  task_of_.erase(it);
}

std::vector<Waiters::Done> Waiters::Take(TaskSlot slot) {
  std::vector<Done> taken;
  const auto it = by_task_.find(slot);
  if (it == by_task_.end()) return taken;
  for (Waiter& waiter : it->second) {
    task_of_.erase(waiter.id);
    taken.push_back(std::move(waiter.done));
  }
  by_task_.erase(it);
  return taken;
}

}  // namespace prefork::engine

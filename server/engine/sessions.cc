#include "server/engine/sessions.h"

#include <algorithm>
#include <utility>

namespace prefork::engine {

Session& Sessions::Open(const SessionOptions& options, scheduler::ClientKey client, EventSink* sink,
                        TaskTable* tasks, const SessionLimits& limits) {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(by_index_.size()));
    by_index_.emplace_back();
  }
  const uint32_t index = free_.back();
  free_.pop_back();
  const SessionId id = next_id_++;
  by_index_[index] = std::make_unique<Session>(id, index, options, client, sink, tasks, limits);
  index_of_.emplace(id, index);
  holds_changed_ |= holding_ > 0;  // it may share a client that is held
  return *by_index_[index];
}

Watch& Sessions::OpenWatch(const WatchOptions& options, EventSink* sink, EventLog* log,
                           const TaskTable* tasks, const std::vector<std::string>* pool_names) {
  const SessionId id = next_id_++;
  auto watch = std::make_unique<Watch>(id, options, sink, log, tasks, pool_names);
  if (options.workers) ++watching_workers_;
  return *watches_.emplace(id, std::move(watch)).first->second;
}

Session* Sessions::Find(SessionId id) {
  const auto it = index_of_.find(id);
  return it == index_of_.end() ? nullptr : by_index_[it->second].get();
}

Watch* Sessions::FindWatch(SessionId id) {
  const auto it = watches_.find(id);
  return it == watches_.end() ? nullptr : it->second.get();
}

void Sessions::Close(SessionId id) {
  if (const auto it = index_of_.find(id); it != index_of_.end()) {
    holding_ -= by_index_[it->second]->holds_work() ? 1 : 0;
    holds_changed_ |= holding_ > 0;  // one of them may be alone now
    by_index_[it->second].reset();
    free_.push_back(it->second);
    index_of_.erase(it);
  } else if (const auto watch = watches_.find(id); watch != watches_.end()) {
    if (watch->second->options().workers) --watching_workers_;
    watches_.erase(watch);
  }
}

void Sessions::MarkDirty(Session& session) {
  if (session.dirty) return;
  session.dirty = true;
  dirty_.push_back(session.index());
}

void Sessions::Flush(bool hold_verdicts, std::vector<TaskSlot>* delivered) {
  // A sink may call back in and make sessions dirty: those are for the next pass.
  flushing_.swap(dirty_);
  for (const uint32_t index : flushing_) {
    Session* const session = by_index_[index].get();
    if (session == nullptr) continue;
    session->dirty = false;
    if (hold_verdicts && session->only_verdicts()) {
      MarkDirty(*session);
      continue;
    }
    session->Flush(delivered);
    session->UpdateReading();
    if (session->UpdateHold()) {
      holding_ += session->holds_work() ? 1 : -1;
      holds_changed_ = true;
    }
    if (session->overfull()) overfull_.push_back(session->id());
  }
  flushing_.clear();
}

void Sessions::ForEachHold(const std::function<void(scheduler::ClientKey, bool)>& hold) const {
  struct Client {
    size_t sessions = 0;
    bool holds_work = false;
  };
  absl::flat_hash_map<scheduler::ClientKey, Client> clients;
  for (const auto& [id, index] : index_of_) {
    Client& client = clients[by_index_[index]->client()];
    ++client.sessions;
    client.holds_work |= by_index_[index]->holds_work();
  }
  for (const auto& [key, client] : clients) hold(key, client.sessions == 1 && client.holds_work);
}

std::vector<Session*> Sessions::TakeOverfull() {
  std::vector<Session*> sessions;
  for (const SessionId id : std::exchange(overfull_, {})) {
    Session* const session = Find(id);
    if (session != nullptr && !IsAlone(*session)) sessions.push_back(session);
  }
  return sessions;
}

bool Sessions::IsAlone(const Session& session) const {
  return std::all_of(index_of_.begin(), index_of_.end(), [&](const auto& entry) {
    const Session& other = *by_index_[entry.second];
    return &other == &session || other.client() != session.client();
  });
}

std::vector<SessionId> Sessions::WatchIds() const {
  std::vector<SessionId> ids;
  ids.reserve(watches_.size());
  for (const auto& [id, watch] : watches_) ids.push_back(id);
  return ids;
}

bool Sessions::PumpWatches() {
  if (watches_.empty()) return false;
  bool more = false;
  for (const SessionId id : WatchIds()) {
    if (Watch* const watch = FindWatch(id); watch != nullptr) more |= watch->Pump();
  }
  return more;
}

bool Sessions::AllDelivered() const {
  for (const auto& [id, index] : index_of_) {
    if (!by_index_[index]->drained()) return false;
  }
  return true;
}

void Sessions::CloseSinks(const absl::Status& why) {
  std::vector<SessionId> sessions;
  for (const auto& [id, index] : index_of_) sessions.push_back(id);
  for (const SessionId id : sessions) {
    if (Session* const session = Find(id); session != nullptr) session->sink()->Close(why);
  }
  for (const SessionId id : WatchIds()) {
    if (Watch* const watch = FindWatch(id); watch != nullptr) watch->Close(why);
  }
}

}  // namespace prefork::engine

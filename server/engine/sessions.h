#ifndef PREFORK_SERVER_ENGINE_SESSIONS_H_
#define PREFORK_SERVER_ENGINE_SESSIONS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "server/engine/session.h"
#include "server/engine/watch.h"

namespace prefork::engine {

// All sessions and watches, by the ID that rpc knows and (sessions) by the index that task records
// carry. Also remembers which have something to flush, so that a pass costs what happened and not
// how many are connected.
class Sessions {
 public:
  // Makes a session with the next ID and a free index.
  Session& Open(const SessionOptions& options, scheduler::ClientKey client, EventSink* sink,
                TaskTable* tasks, const SessionLimits& limits);
  Watch& OpenWatch(const WatchOptions& options, EventSink* sink, EventLog* log,
                   const TaskTable* tasks, const std::vector<std::string>* pool_names);
  // Null when there is none.
  Session* Find(SessionId id);
  const Session* Find(SessionId id) const { return const_cast<Sessions*>(this)->Find(id); }
  Watch* FindWatch(SessionId id);
  // By TaskRecord::session; null for kNone.
  Session* At(uint32_t index) { return index == kNone ? nullptr : by_index_[index].get(); }
  void Close(SessionId id);

  void MarkDirty(Session& session);
  // Flushes what is dirty and writable; with `hold_verdicts` not those that have nothing but
  // verdicts, which stay dirty. Tasks whose end went out are appended to `delivered`.
  void Flush(bool hold_verdicts, std::vector<TaskSlot>* delivered);
  // True if since the last call it may have changed which clients have to be held.
  bool TakeHoldsChanged() { return std::exchange(holds_changed_, false); }
  // Calls `hold(client, held)` for each client with sessions: it is held while its only session has
  // more results than it may.
  void ForEachHold(const std::function<void(scheduler::ClientKey, bool)>& hold) const;
  // The sessions that were found to have far too many results since the last call, and that can't be
  // held because they share their client.
  std::vector<Session*> TakeOverfull();
  // Lets the watches read on. True: some have more to look at.
  bool PumpWatches();

  // Has every sink got everything?
  bool AllDelivered() const;
  // Tells all sinks that nothing more will come.
  void CloseSinks(const absl::Status& why);
  // Someone wants to know when workers become busy or idle.
  bool watching_workers() const { return watching_workers_ > 0; }
  size_t session_count() const { return index_of_.size(); }

 private:
  // A copy: sinks may call back in and close sessions and watches.
  std::vector<SessionId> WatchIds() const;
  // Has its client no other session?
  bool IsAlone(const Session& session) const;

  SessionId next_id_ = 1;
  std::vector<std::unique_ptr<Session>> by_index_;
  std::vector<uint32_t> free_;
  std::vector<uint32_t> dirty_;
  std::vector<uint32_t> flushing_;
  size_t holding_ = 0;  // sessions that hold work
  bool holds_changed_ = false;
  std::vector<SessionId> overfull_;
  absl::flat_hash_map<SessionId, uint32_t> index_of_;
  absl::flat_hash_map<SessionId, std::unique_ptr<Watch>> watches_;
  size_t watching_workers_ = 0;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_SESSIONS_H_

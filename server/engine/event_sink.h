#ifndef PREFORK_SERVER_ENGINE_EVENT_SINK_H_
#define PREFORK_SERVER_ENGINE_EVENT_SINK_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/engine/types.h"

namespace prefork::engine {

// Receives the events of one session or watch. Implemented by rpc. All methods run on the engine's
// thread and must not block. Flow: while writable, the engine calls Add* any number of times and
// then Flush once; from Flush until Engine::SinkWritable(id), or a TakesMore that says so, it holds
// everything back (states and output may be merged or dropped, ends are kept).
class EventSink {
 public:
  // The engine flushes when about this much is pending.
  static constexpr size_t kFlushBytes = size_t{256} << 10;

  virtual ~EventSink() = default;
  virtual void AddAccepted(uint64_t first_tag, TaskId first_id, uint64_t count) = 0;
  virtual void AddRejected(uint64_t tag, const absl::Status& why) = 0;
  // `tag` is 0 outside sessions.
  virtual void AddEvent(uint64_t tag, const EventRecord& event) = 0;
  // The end of a task: everything about it is valid during the call only. `report` may be
  // null; `earlier`, the reports of the attempts before it, is null without it or without any.
  virtual void AddFinished(uint64_t tag, const EventRecord& event, const Bytes& value,
                           std::string_view content_type, std::string_view error,
                           const ExitReport* report, const std::vector<ExitReport>* earlier) = 0;
  // Bytes added since the last Flush, roughly.
  virtual size_t pending_bytes() const = 0;
  // False: no AddEvent and AddFinished for now, verdicts only. SinkWritable tells when that is over.
  virtual bool wants_events() const { return true; }
  virtual void Flush() = 0;
  // Asked of a session's sink when there is something for it after a Flush. True: it is writable
  // again. False: SinkWritable will tell. A sink that is not asked need not tell, which spares the
  // engine a wake-up for each message.
  virtual bool TakesMore() { return false; }
  // Nothing more will come: shutdown, or the watcher fell too far behind (RESOURCE_EXHAUSTED,
  // resume by sequence).
  virtual void Close(const absl::Status& why) = 0;
  // The session's tasks fill their share: stop (true) or go on (false) reading from the client.
  virtual void PauseReading(bool pause) = 0;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_EVENT_SINK_H_

#ifndef PREFORK_TESTS_SERVER_ENGINE_RECORDING_SINK_H_
#define PREFORK_TESTS_SERVER_ENGINE_RECORDING_SINK_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/engine/event_sink.h"

namespace prefork::engine {

// A sink that writes down what it gets. It takes everything while `bytes_taken` stays below what
// the engine flushes at; each event counts as `event_bytes`.
class RecordingSink : public EventSink {
 public:
  struct End {
    TaskId task = 0;
    uint64_t tag = 0;
    scheduler::TaskState state = scheduler::TaskState::kQueued;
    scheduler::EndCause cause = scheduler::EndCause::kNone;
    std::string value;
    std::string content_type;
    std::string error;
    std::optional<ExitReport> report;
    std::vector<ExitReport> earlier;
    uint64_t sequence = 0;
  };

  void AddAccepted(uint64_t first_tag, TaskId first_id, uint64_t count) override {
    for (uint64_t i = 0; i < count; ++i) accepted[first_tag + i] = first_id + i;
    pending_ += event_bytes;
  }
  void AddRejected(uint64_t tag, const absl::Status& why) override {
    rejected[tag] = why;
    pending_ += event_bytes;
  }
  void AddEvent(uint64_t tag, const EventRecord& event) override {
    events.emplace_back(tag, event);
    pending_ += event_bytes;
  }
  void AddFinished(uint64_t tag, const EventRecord& event, const Bytes& value,
                   std::string_view content_type, std::string_view error, const ExitReport* report,
                   const std::vector<ExitReport>* earlier_attempts) override {
    End end;
    end.task = event.task;
    end.tag = tag;
    end.state = event.state;
    end.cause = event.cause;
    end.value = std::string(value.view());
    end.content_type = std::string(content_type);
    end.error = std::string(error);
    if (report != nullptr) end.report = *report;
    if (earlier_attempts != nullptr) end.earlier = *earlier_attempts;
    end.sequence = event.sequence;
    ends.push_back(std::move(end));
    pending_ += event_bytes;
  }
  size_t pending_bytes() const override { return pending_; }
  bool wants_events() const override { return takes_events; }
  void Flush() override {
    pending_ = 0;
    ++flushes;
  }
  bool TakesMore() override { return takes_more; }
  void Close(const absl::Status& why) override { closed = why; }
  void PauseReading(bool pause) override { paused = pause; }

  const End* FindEnd(uint64_t tag) const {
    for (const End& end : ends) {
      if (end.tag == tag) return &end;
    }
    return nullptr;
  }
  // The states of one task in the order in which they came.
  std::vector<scheduler::TaskState> StatesOf(TaskId task) const {
    std::vector<scheduler::TaskState> states;
    for (const auto& [tag, event] : events) {
      if (event.task == task && event.kind == EventRecord::Kind::kState) {
        states.push_back(event.state);
      }
    }
    return states;
  }

  size_t event_bytes = 100;
  bool takes_events = true;
  bool takes_more = false;  // false: only the test's SinkWritable lets the engine go on
  size_t flushes = 0;
  std::map<uint64_t, TaskId> accepted;
  std::map<uint64_t, absl::Status> rejected;
  std::vector<std::pair<uint64_t, EventRecord>> events;
  std::vector<End> ends;
  std::optional<absl::Status> closed;
  bool paused = false;

 private:
  size_t pending_ = 0;
};

}  // namespace prefork::engine

#endif  // PREFORK_TESTS_SERVER_ENGINE_RECORDING_SINK_H_

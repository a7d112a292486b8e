#include "server/scheduler/dependencies.h"

#include <cstddef>
#include <cstdint>

#include "server/scheduler/check.h"

namespace prefork::scheduler {

void Dependencies::Add(TaskSlot predecessor, TaskSlot successor) {
  const uint32_t edge = edges_.Add(Edge{.predecessor = predecessor, .successor = successor});
  Link(of_predecessor_, predecessor, edge, &Edge::previous_out, &Edge::next_out);
  Link(of_successor_, successor, edge, &Edge::previous_in, &Edge::next_in);
}

void Dependencies::Unblock(TaskSlot successor) {
  for (auto it = of_successor_.find(successor); it != of_successor_.end();
       it = of_successor_.find(successor)) {
    Remove(it->second.first);
  }
}

TaskSlot Dependencies::TakeSuccessor(TaskSlot predecessor) {
  const auto it = of_predecessor_.find(predecessor);
  if (it == of_predecessor_.end()) {
    return kNone;
  }
  const TaskSlot successor = edges_[it->second.first].successor;
  Remove(it->second.first);
  return successor;
}

void Dependencies::Remove(uint32_t edge) {
  Unlink(of_predecessor_, edges_[edge].predecessor, edge, &Edge::previous_out, &Edge::next_out);
  Unlink(of_successor_, edges_[edge].successor, edge, &Edge::previous_in, &Edge::next_in);
  edges_.Remove(edge);
}

void Dependencies::Link(Lists& lists, TaskSlot task, uint32_t edge, uint32_t Edge::*previous,
                        uint32_t Edge::*next) {
  auto [it, is_first] = lists.try_emplace(task, Ends{.first = edge, .last = edge});
  if (!is_first) {
    edges_[edge].*previous = it->second.last;
    edges_[it->second.last].*next = edge;
    it->second.last = edge;
  }
}

void Dependencies::Unlink(Lists& lists, TaskSlot task, uint32_t edge, uint32_t Edge::*previous,
                          uint32_t Edge::*next) {
  const uint32_t before = edges_[edge].*previous;
  const uint32_t after = edges_[edge].*next;
  if (before == kNone && after == kNone) {
    lists.erase(task);
    return;
  }
  Ends& ends = lists.at(task);
  if (before == kNone) {
    ends.first = after;
  } else {
    edges_[before].*next = after;
  }
  if (after == kNone) {
    ends.last = before;
  } else {
    edges_[after].*previous = before;
  }
}

void Dependencies::CheckInvariants() const {
  size_t out = 0;
  for (const auto& [task, ends] : of_predecessor_) {
    for (uint32_t edge = ends.first; edge != kNone; edge = edges_[edge].next_out, ++out) {
      Check(edges_[edge].predecessor == task, "an edge is in its predecessor's list");
    }
  }
  size_t in = 0;
  for (const auto& [task, ends] : of_successor_) {
    for (uint32_t edge = ends.first; edge != kNone; edge = edges_[edge].next_in, ++in) {
      Check(edges_[edge].successor == task, "an edge is in its successor's list");
    }
  }
  Check(out == edges_.size() && in == edges_.size(), "every edge is in two lists");
}

}  // namespace prefork::scheduler

#include "server/rpc/read_gate.h"

#include "gtest/gtest.h"

namespace prefork::rpc {
namespace {

TEST(ReadGateTest, ReadsOnWhileTheEngineKeepsUp) {
  ReadGate gate(2, 100);
  for (int i = 0; i < 10; ++i) {
    gate.AddMessage(10);
    EXPECT_TRUE(gate.MayRead());
    EXPECT_FALSE(gate.RemoveMessage(10));  // nobody waited
  }
}

TEST(ReadGateTest, WaitsAtTheBoundAndIsReleasedOnce) {
  ReadGate gate(2, 100);
  gate.AddMessage(10);
  EXPECT_TRUE(gate.MayRead());
  gate.AddMessage(10);
  EXPECT_FALSE(gate.MayRead());
  EXPECT_TRUE(gate.RemoveMessage(10));
  EXPECT_FALSE(gate.RemoveMessage(10));
}

TEST(ReadGateTest, CountsBytesToo) {
  ReadGate gate(100, 100);
  gate.AddMessage(150);
  EXPECT_FALSE(gate.MayRead());
  EXPECT_TRUE(gate.RemoveMessage(150));
}

TEST(ReadGateTest, APauseHoldsTheReaderEvenWithoutMessages) {
  ReadGate gate(2, 100);
  EXPECT_FALSE(gate.SetPaused(true));
  gate.AddMessage(10);
  EXPECT_FALSE(gate.MayRead());
  EXPECT_FALSE(gate.RemoveMessage(10));
  EXPECT_TRUE(gate.SetPaused(false));
  EXPECT_FALSE(gate.SetPaused(false));
}

TEST(ReadGateTest, AMessageDealtWithBeforeTheReaderAsksDoesNotHoldIt) {
  ReadGate gate(1, 100);
  gate.AddMessage(10);
  EXPECT_FALSE(gate.RemoveMessage(10));
  EXPECT_TRUE(gate.MayRead());
}

}  // namespace
}  // namespace prefork::rpc

#pragma once

#include <memory>
#include <string>
#include <utility>

#include "engine/api/engine.h"

namespace switchyard::engine {

/// An engine that does everything by another, for those who add to some of it.
class ForwardingEngine : public Engine {
 public:
  [[nodiscard]] std::unique_ptr<Reply> handle(Request request) override {
    return inner_->handle(std::move(request));
  }
  [[nodiscard]] EngineSample sample(std::chrono::milliseconds patience) override {
    return inner_->sample(patience);
  }
  [[nodiscard]] std::string info_json() const override { return inner_->info_json(); }
  [[nodiscard]] std::string props_json() override { return inner_->props_json(); }
  [[nodiscard]] std::shared_ptr<Weights> weights() override { return inner_->weights(); }
  [[nodiscard]] Status probe(std::chrono::milliseconds bound) override { return inner_->probe(bound); }
  [[nodiscard]] std::shared_ptr<const LoopActivity> activity() const override { return inner_->activity(); }
  [[nodiscard]] bool abort(std::chrono::milliseconds bound) override { return inner_->abort(bound); }

 protected:
  explicit ForwardingEngine(std::unique_ptr<Engine> inner) : inner_(std::move(inner)) {}
  [[nodiscard]] Engine& inner() { return *inner_; }
  /// Ends it before the forwarding one does.
  void end_inner() { inner_.reset(); }

 private:
  std::unique_ptr<Engine> inner_;
};

}  // namespace switchyard::engine

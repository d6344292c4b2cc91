#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/strand.h"
#include "store/alias_store.h"
#include "traffic/alias_table.h"
#include "traffic/policy.h"
#include "traffic/switcher.h"

namespace switchyard::traffic {

/// The switcher's state and its steps. Everything that changes it runs on one strand, so the steps of
/// all switches follow one another and need no lock; callbacks of the manager and of the event bus only
/// post to it. Readers get the alias table, and under mutex_ a copy of what is shown.
class Switcher::Impl : public std::enable_shared_from_this<Impl> {
 public:
  explicit Impl(const Dependencies& dependencies);

  /// Reads what is kept and begins to listen; what needs shared_from_this().
  void open();
  void close();

  using Successors = std::map<models::VersionRef, models::VersionRef>;
  using RouteDone = std::function<void(Result<models::VersionRef>)>;
  Status define(const std::vector<Alias>& aliases, const Successors& successors);
  [[nodiscard]] Result<models::VersionRef> resolve(std::string_view name) const;
  [[nodiscard]] Result<models::VersionRef> resolve(std::string_view name, std::string_view subject) const;
  void route(const std::string& name, const std::string& subject, RouteDone done);
  [[nodiscard]] std::shared_ptr<const Split> split_of(std::string_view name) const;
  [[nodiscard]] bool is_alias(std::string_view name) const;
  [[nodiscard]] std::vector<models::VersionRef> fallbacks(std::string_view name) const;
  void move(SwitchRequest request);
  void cancel(const std::string& alias, std::function<void(Status)> done, std::optional<std::int64_t> id);
  void remove(const std::string& alias, const SwitchOptions& options, std::function<void(Status)> done);
  void preview(SwitchRequest request, std::function<void(Result<SwitchPreview>)> done);
  [[nodiscard]] std::vector<AliasStatus> aliases() const EXCLUDES(mutex_);
  [[nodiscard]] std::vector<Alias> names() const { return table_.list(); }
  [[nodiscard]] Result<AliasStatus> describe(std::string_view name) const EXCLUDES(mutex_);
  [[nodiscard]] Result<std::vector<SwitchReport>> history(std::string_view name, std::size_t limit) const;

 private:
  struct Held {
    std::string subject;
    RouteDone done;
  };

  struct Switch {
    SwitchRequest request;
    SwitchReport report;
    std::string name;        ///< key in names_
    std::string newest;      ///< of a model's name: its newest version when this began
    std::string defined;     ///< of a kConfig switch: what the config file says
    bool holds = false;      ///< requests for the name wait for its end
    bool sent_away = false;  ///< the old version was told to leave before the new one came
    bool old_was_hot = false;
    bool flipped = false;
    bool over = false;
    TimePoint phase_since;
    models::Keep keep;  ///< of the old version
    models::AcquireTicket ticket;
    models::Lease lease;                       ///< of the new version, until requests find it
    std::optional<Split> split;                ///< of a kSplit: what the name is to mean
    std::vector<models::VersionRef> to_prove;  ///< its arms that have not answered yet
  };
  using SwitchPtr = std::shared_ptr<Switch>;

  struct Name {
    store::AliasRow row;
    models::VersionRef to;  ///< empty: an alias that is being made, or that was removed
    bool is_model = false;
    bool live = false;   ///< in the table
    std::string newest;  ///< of a model: its newest version
    SwitchPtr current;   ///< has not flipped
    std::shared_ptr<const Split> split;
    bool followed_files = false;  ///< the last that moved it: files behind it were replaced
    std::vector<Held> held;
  };

  // All of these on the strand.
  // switcher_names.cpp: what names mean, and the config file's say.
  void load_names();
  Status define_now(const std::vector<Alias>& aliases, const Successors& successors);
  void follow_successors(const Successors& successors);
  void follow_arms(const std::string& key, Name& name, const Successors& successors);
  [[nodiscard]] bool is_in_memory(const models::VersionRef& ref) const;
  [[nodiscard]] std::vector<models::VersionRef> ways_back(const Name& name) const;
  [[nodiscard]] bool is_models_name(const Name* name, const std::string& key) const;
  [[nodiscard]] Status check_conditions(const SwitchRequest& request, const Name* name) const;
  Status check_fallbacks(const std::string& alias, const std::vector<std::string>& fallbacks) const;
  Status check_definitions(const std::vector<Alias>& aliases) const;
  void define_alias(const Alias& alias);
  void revive_made_by_calls(const std::vector<Alias>& aliases);
  void follow_catalog();
  void note_proven(const models::VersionRef& ref);
  [[nodiscard]] bool is_pending(const Name& name) const;
  void upgrade(const std::string& id);
  void route_now(const std::string& name, const std::string& subject, RouteDone done);
  void release_held(Name& name);
  [[nodiscard]] Result<std::string> key_of(const std::string& alias, WhenMissing when_missing) const;
  [[nodiscard]] Result<models::VersionRef> target_of(const SwitchRequest& request, const Name* name,
                                                     const std::string& key) const;
  [[nodiscard]] Result<Split> split_for(const SplitSpec& spec, const Name* name,
                                        const std::string& key) const;
  [[nodiscard]] std::shared_ptr<const Split> split_now(const Name& name) const;
  [[nodiscard]] bool means(const Name& name, const models::VersionRef& ref) const;
  void refresh();
  void show(const std::string& key) EXCLUDES(mutex_);
  void keep_row(const store::AliasRow& row);

  // switcher_steps.cpp: the life of a switch.
  void start(SwitchRequest request, std::string defined = {});
  void refuse(const SwitchRequest& request, const Error& error);
  void open_switch(const SwitchPtr& one);
  [[nodiscard]] Situation situation_of(const Switch& one) const;
  void inspected(const SwitchPtr& one, const Result<engine::Inspection>& inspection);
  void send_old_away(const SwitchPtr& one, models::Residency to);
  void old_left(const SwitchPtr& one, const Status& status);
  void acquire(const SwitchPtr& one);
  void loaded(const SwitchPtr& one, Result<models::Lease> lease);
  void fail_before_flip(const SwitchPtr& one, Error error);
  void flip(const SwitchPtr& one);
  [[nodiscard]] store::AliasRow moved_row(const Switch& one, const Name& name, std::int64_t& undone) const;
  void settle_old(const SwitchPtr& one);
  void old_settled(const SwitchPtr& one, const Status& status);
  void bring_back(Switch& one);
  void end(const SwitchPtr& one, Outcome outcome, std::optional<Error> error);

  // switcher_phases.cpp: how far it is, and telling it.
  void enter(Switch& one, Phase phase, TimePoint at);
  void close_phase(Switch& one, TimePoint at);
  void note_state(const models::VersionRef& ref, const std::string& state, TimePoint at);
  void note_weights(const models::VersionRef& ref, TimePoint at);
  void publish_phase(const Switch& one, std::optional<Duration> took);
  void publish_end(const Switch& one);

  void on_event(const telemetry::Event& event);
  /// A callback for the manager that comes back to `step` on the strand, if this still lives then.
  template <typename Step>
  auto posted(const Step& step) {
    return [weak = weak_from_this(), step] {
      if (const auto self = weak.lock()) self->strand_.post([self = self.get(), step] { step(*self); });
    };
  }
  [[nodiscard]] models::State state_of(const models::VersionRef& ref) const;
  [[nodiscard]] std::uint32_t leases_of(const models::VersionRef& ref) const;
  TimePoint now() const { return dependencies_.clock.now(); }

  const Dependencies dependencies_;
  mutable store::AliasStore store_;
  AliasTable table_;

  // On the strand only.
  std::map<std::string, Name> names_;
  std::set<models::VersionRef> proven_;
  std::vector<SwitchPtr> active_;
  bool defined_ = false;  // define() has been called
  bool closing_ = false;

  mutable Mutex mutex_;
  std::map<std::string, AliasStatus, std::less<>> shown_ GUARDED_BY(mutex_);

  Strand strand_;
  telemetry::EventBus::Subscription subscription_;  // last: ends before what it uses
};

}  // namespace switchyard::traffic

// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The clients of remqtt.hpp, which is what to include.
#ifndef REMQTT_CLIENT_HPP
#define REMQTT_CLIENT_HPP

#include <future>

#include "values.hpp"

namespace remqtt {

class Config;

namespace detail {
template <class F> int32_t call_message(void *user, remqtt_client *client, const remqtt_message *message) noexcept;
}

/// A client, for the time of a callback.
class ClientView {
public:
    explicit ClientView(remqtt_client *raw = nullptr) : raw_(raw) {}

    Status start() const { return detail::status(remqtt_client_start(raw_)); }
    Status stop(uint8_t reason = 0) const { return detail::status(remqtt_client_stop(raw_, reason, nullptr)); }
    Status close(std::chrono::milliseconds drain = {}) const
    {
        return detail::status(remqtt_client_close(raw_, detail::ms(drain)));
    }
    Status wait_state(int32_t state, std::chrono::milliseconds timeout) const
    {
        return detail::status(remqtt_client_wait_state(raw_, state, detail::ms(timeout)));
    }
    /// Waits until everything accepted so far is durable in the store.
    Status sync(std::chrono::milliseconds timeout) const
    {
        return detail::status(remqtt_client_sync(raw_, detail::ms(timeout)));
    }
    Status flush(std::chrono::milliseconds timeout) const
    {
        return detail::status(remqtt_client_flush(raw_, detail::ms(timeout)));
    }
    Status wait(remqtt_token token, std::chrono::milliseconds timeout) const
    {
        return detail::status(remqtt_client_wait(raw_, token, detail::ms(timeout)));
    }
    Status reconnect_now() const { return detail::status(remqtt_client_reconnect_now(raw_)); }
    Status network_changed() const { return detail::status(remqtt_client_network_changed(raw_)); }
    int32_t state() const { return remqtt_client_state(raw_); }
    /// Answers an AUTH; 0: asks the server to authenticate the connection anew. See remqtt_client_authenticate.
    Status authenticate(uint64_t exchange, std::string_view data, PropertiesView properties = PropertiesView()) const
    {
        return detail::status(
            remqtt_client_authenticate(raw_, exchange, detail::bytes(data), properties.raw()));
    }

    Result<remqtt_token> publish(std::string_view topic, std::string_view payload, const PublishOptions &how = {},
                                 Done done = nullptr) const
    {
        auto user = take(std::move(done));
        remqtt_publish_options options = options_of(how, user.get());
        remqtt_token token = 0;
        return begun(remqtt_client_publish(raw_, detail::str(topic), detail::bytes(payload), &options, &token), token,
                     user);
    }
    /// Publishes in order, up to the first that is refused. `done` is called for each that is accepted.
    Accepted publish_many(const std::vector<Publication> &publications, const Done &done = nullptr) const
    {
        std::vector<std::unique_ptr<Done>> users;
        std::vector<remqtt_publish_options> options;
        std::vector<remqtt_publication> each;
        options.reserve(publications.size()); // what points into it stays valid
        for (const Publication &publication : publications) {
            users.push_back(take(done));
            options.push_back(options_of(publication.how, users.back().get()));
            each.push_back({ sizeof(remqtt_publication), detail::str(publication.topic),
                             detail::bytes(publication.payload), &options.back() });
        }
        Accepted accepted;
        accepted.tokens.resize(each.size());
        size_t count = 0;
        auto status = remqtt_client_publish_many(raw_, each.data(), each.size(), accepted.tokens.data(), &count);
        accepted.tokens.resize(count);
        for (size_t i = 0; i < count; i++) {
            (void)users[i].release();
        }
        if (status != REMQTT_OK) {
            accepted.error = Error::last(status);
        }
        return accepted;
    }
    Result<remqtt_token> subscribe(const std::vector<Subscription> &wishes, Done done = nullptr,
                                   PropertiesView properties = PropertiesView()) const
    {
        std::vector<remqtt_subscription> each;
        std::vector<std::unique_ptr<OnMessage>> functions;
        for (const Subscription &wish : wishes) {
            remqtt_subscription raw = REMQTT_SUBSCRIPTION_INIT;
            raw.filter = detail::str(wish.filter);
            raw.qos = wish.qos;
            raw.no_local = wish.no_local;
            raw.retain_as_published = wish.retain_as_published;
            raw.retain_handling = wish.retain_handling;
            if (wish.on_message) {
                functions.push_back(std::make_unique<OnMessage>(wish.on_message));
                raw.on_message = call_on_message;
                raw.user = functions.back().get();
                raw.drop = detail::drop<OnMessage>;
            }
            each.push_back(raw);
        }
        auto user = take(std::move(done));
        remqtt_token token = 0;
        auto status = remqtt_client_subscribe(raw_, each.data(), each.size(), properties.raw(),
                                              user ? call_done : nullptr, user.get(),
                                              user ? detail::drop<Done> : nullptr, &token);
        for (size_t i = 0; status == REMQTT_OK && i < functions.size(); i++) {
            (void)functions[i].release();
        }
        return begun(status, token, user);
    }
    Result<remqtt_token> unsubscribe(const std::vector<std::string_view> &filters, Done done = nullptr) const
    {
        std::vector<remqtt_str> each;
        for (std::string_view filter : filters) {
            each.push_back(detail::str(filter));
        }
        auto user = take(std::move(done));
        remqtt_token token = 0;
        return begun(remqtt_client_unsubscribe(raw_, each.data(), each.size(), nullptr, user ? call_done : nullptr,
                                               user.get(), user ? detail::drop<Done> : nullptr, &token),
                     token, user);
    }
    /// Publishes and gives the outcome to wait for. Do not wait in a callback.
    Result<std::future<Outcome>> publish_future(std::string_view topic, std::string_view payload,
                                                const PublishOptions &how = {}) const
    {
        auto promise = std::make_shared<std::promise<Outcome>>();
        auto future = promise->get_future();
        auto begun = publish(topic, payload, how, [promise](const Outcome &outcome) { promise->set_value(outcome); });
        if (!begun) {
            return begun.error();
        }
        return future;
    }

    /// The function for the messages whose topic this filter covers: `handler(ClientView, MessageView)`, which returns
    /// nothing or an Ack. See remqtt_client_on_topic.
    template <class F> Status on_topic(std::string_view filter, F handler) const
    {
        auto user = std::make_unique<F>(std::move(handler));
        remqtt_status status = remqtt_client_on_topic(raw_, detail::str(filter), detail::call_message<F>, user.get(),
                                                      detail::drop<F>);
        if (status == REMQTT_OK) {
            (void)user.release();
        }
        return detail::status(status);
    }
    Status forget_topic(std::string_view filter) const
    {
        return detail::status(remqtt_client_on_topic(raw_, detail::str(filter), nullptr, nullptr, nullptr));
    }
    /// The operations that are not complete, oldest first, those of an earlier process included.
    std::vector<remqtt_token> pending() const
    {
        size_t count = 0;
        std::vector<remqtt_token> tokens;
        while (remqtt_client_pending(raw_, tokens.data(), tokens.size(), &count) == REMQTT_OK && count > tokens.size()) {
            tokens.resize(count);
        }
        tokens.resize(count);
        return tokens;
    }
    /// The function for the end of an operation that has none, such as one of an earlier process.
    Status on_done(remqtt_token token, Done done) const
    {
        auto user = take(std::move(done));
        auto status = remqtt_client_on_done(raw_, token, user ? call_done : nullptr, user.get(), detail::drop<Done>);
        if (status == REMQTT_OK) {
            (void)user.release();
        }
        return detail::status(status);
    }
    /// Gives up every publish of QoS 1 and 2 that is not complete. Gives how many there were.
    Result<size_t> drop_publishes() const
    {
        size_t count = 0;
        remqtt_status status = remqtt_client_drop_publishes(raw_, nullptr, nullptr, &count);
        return status == REMQTT_OK ? Result<size_t>(count) : Result<size_t>(Error::last(status));
    }
    /// Uses these options from the next connection on.
    Status reconfigure(const Config &config) const;

    Result<remqtt_stats> stats() const
    {
        remqtt_stats stats = REMQTT_STATS_INIT;
        remqtt_status status = remqtt_client_stats(raw_, &stats);
        return status == REMQTT_OK ? Result<remqtt_stats>(stats) : Result<remqtt_stats>(Error::last(status));
    }
    /// All statistics by name, those that are newer than this header included.
    std::vector<std::pair<std::string_view, uint64_t>> statistics() const
    {
        std::vector<std::pair<std::string_view, uint64_t>> all;
        uint64_t value = 0;
        while (remqtt_client_stat(raw_, all.size(), &value) == REMQTT_OK) {
            all.emplace_back(remqtt_stat_name(all.size()), value);
        }
        return all;
    }
    /// The last outages, oldest first.
    std::vector<remqtt_outage> timeline() const
    {
        std::vector<remqtt_outage> outages;
        outages.reserve(remqtt_client_outage_count(raw_));
        remqtt_outage outage = REMQTT_OUTAGE_INIT;
        while (remqtt_client_outage(raw_, outages.size(), &outage) == REMQTT_OK) {
            outages.push_back(outage);
        }
        return outages;
    }
    /// The outage with this index of the timeline in a line of words; empty if there is none.
    std::string outage_text(size_t index) const
    {
        return detail::text([this, index](char *buffer, size_t capacity) {
            return remqtt_client_outage_text(raw_, index, buffer, capacity);
        });
    }
    /// Another descriptor of the connection's socket, which is yours to close. See remqtt_client_duplicate_socket.
    Result<int> duplicate_socket() const
    {
        int32_t socket = remqtt_client_duplicate_socket(raw_);
        return socket >= 0 ? Result<int>(socket) : Result<int>(Error::last(socket));
    }
    /// Poll mode: readable while dispatch has work.
    int event_fd() const { return remqtt_client_event_fd(raw_); }
    Result<int> dispatch(std::chrono::milliseconds timeout, uint32_t max_events = 0) const
    {
        int32_t told = remqtt_client_dispatch(raw_, detail::ms(timeout), max_events);
        return told >= 0 ? Result<int>(told) : Result<int>(Error::last(told));
    }
    remqtt_client *raw() const { return raw_; }

private:
    static std::unique_ptr<Done> take(Done done)
    {
        return done ? std::make_unique<Done>(std::move(done)) : nullptr;
    }
    static remqtt_publish_options options_of(const PublishOptions &how, Done *user)
    {
        remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
        options.qos = how.qos;
        options.retain = how.retain;
        options.level = how.level;
        options.props = how.properties.raw();
        options.done = user ? call_done : nullptr;
        options.user = user;
        options.drop = user ? detail::drop<Done> : nullptr;
        return options;
    }
    /// The library owns `user` from a successful call on; its drop function may have run by now. The token is a
    /// reference because the call that sets it may be evaluated after this argument.
    static Result<remqtt_token> begun(remqtt_status status, const remqtt_token &token, std::unique_ptr<Done> &user)
    {
        if (status != REMQTT_OK) {
            return Error::last(status);
        }
        (void)user.release();
        return token;
    }
    static int32_t call_on_message(void *user, remqtt_client *client, const remqtt_message *message)
    {
        return (*static_cast<OnMessage *>(user))(client, message);
    }
    static void call_done(void *user, remqtt_client *, const remqtt_result *result)
    {
        detail::guarded(0, [&] {
            Outcome outcome{ result->token, result->status, result->reason,
                             { result->codes.ptr, result->codes.ptr + result->codes.len },
                             std::string(detail::view(result->text)) };
            (*static_cast<Done *>(user))(outcome);
            return 0;
        });
    }

    remqtt_client *raw_;
};

/// A reference to a client; copies are further ones. The last to go closes the client.
class Client : public ClientView {
public:
    Client() = default;
    explicit Client(remqtt_client *own) : ClientView(own), own_(own) {}
    Client(const Client &other) : Client(remqtt_client_ref(other.raw())) {}
    Client(Client &&other) noexcept : Client(other.own_.release()) { other.ClientView::operator=(ClientView()); }
    Client &operator=(Client other) noexcept
    {
        std::swap(own_, other.own_);
        ClientView::operator=(ClientView(own_.get()));
        return *this;
    }
    /// The client of a callback for as long as you want.
    static Client keep(ClientView view) { return Client(remqtt_client_ref(view.raw())); }

private:
    std::unique_ptr<remqtt_client, detail::Free> own_;
};

namespace detail {
template <class F> int32_t call_message(void *user, remqtt_client *client, const remqtt_message *message) noexcept
{
    return guarded(REMQTT_ACK_LATER, [&]() -> int32_t {
        F &handle = *static_cast<F *>(user);
        if constexpr (std::is_void_v<std::invoke_result_t<F &, ClientView, MessageView>>) {
            return handle(ClientView(client), MessageView(message)), 0;
        } else {
            return static_cast<int32_t>(handle(ClientView(client), MessageView(message)));
        }
    });
}
} // namespace detail

template <class F, class Some>
OnMessage::OnMessage(F handler)
    : function_([handler = std::move(handler)](remqtt_client *client, const remqtt_message *message) mutable {
          return detail::call_message<F>(&handler, client, message);
      })
{
}

} // namespace remqtt

#endif // REMQTT_CLIENT_HPP

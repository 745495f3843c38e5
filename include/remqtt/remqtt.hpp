// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// remqtt for C++17: a header-only layer over remqtt.h, whose rules on threads, callbacks and waiting hold here too.
//
// Nothing here throws by itself. A call that can fail returns Result<T>: test it, then use value() or error(). value()
// on a failure ends the program, or throws remqtt::Exception if REMQTT_EXCEPTIONS is defined before the include.
// Functions given as callbacks live until the library has called them for the last time. An exception that leaves one
// goes to on_exception; a message whose callback threw is not acknowledged.
#ifndef REMQTT_HPP
#define REMQTT_HPP

#include <future>

#include "values.hpp"

namespace remqtt {

class Config;

namespace detail {
template <class F> int32_t call_message(void *user, remqtt_client *client, const remqtt_message *message);
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
        remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
        options.qos = how.qos;
        options.retain = how.retain;
        options.level = how.level;
        options.props = how.properties.raw();
        auto user = take(std::move(done));
        options.done = user ? call_done : nullptr;
        options.user = user.get();
        options.drop = user ? detail::drop<Done> : nullptr;
        remqtt_token token = 0;
        return begun(remqtt_client_publish(raw_, detail::str(topic), detail::bytes(payload), &options, &token), token,
                     user);
    }
    Result<remqtt_token> subscribe(const std::vector<Subscription> &wishes, Done done = nullptr,
                                   PropertiesView properties = PropertiesView()) const
    {
        std::vector<remqtt_subscription> each;
        for (const Subscription &wish : wishes) {
            remqtt_subscription raw = REMQTT_SUBSCRIPTION_INIT;
            raw.filter = detail::str(wish.filter);
            raw.qos = wish.qos;
            raw.no_local = wish.no_local;
            raw.retain_as_published = wish.retain_as_published;
            raw.retain_handling = wish.retain_handling;
            each.push_back(raw);
        }
        auto user = take(std::move(done));
        remqtt_token token = 0;
        return begun(remqtt_client_subscribe(raw_, each.data(), each.size(), properties.raw(),
                                             user ? call_done : nullptr, user.get(),
                                             user ? detail::drop<Done> : nullptr, &token),
                     token, user);
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
    /// The last outages, oldest first.
    std::vector<remqtt_outage> timeline() const
    {
        std::vector<remqtt_outage> outages;
        remqtt_outage outage = REMQTT_OUTAGE_INIT;
        while (remqtt_client_outage(raw_, outages.size(), &outage) == REMQTT_OK) {
            outages.push_back(outage);
        }
        return outages;
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

/// What a client is made from.
class Config {
public:
    Config() : raw_(remqtt_config_new()) {}

    Status set(const std::string &key, const std::string &value)
    {
        return detail::status(remqtt_config_set(raw_.get(), key.c_str(), value.c_str()));
    }
    Status server(const std::string &url) { return detail::status(remqtt_config_add_server(raw_.get(), url.c_str())); }
    Status client_id(std::string_view id)
    {
        return detail::status(remqtt_config_set_client_id(raw_.get(), id.data(), id.size()));
    }
    Status credentials(std::string_view user, std::string_view password)
    {
        return detail::status(
            remqtt_config_set_credentials(raw_.get(), detail::str(user), detail::bytes(password)));
    }
    /// Authorities that may vouch for the server, PEM or DER.
    Status tls_ca(std::string_view certificates)
    {
        return detail::status(remqtt_config_set_tls_ca(raw_.get(), detail::bytes(certificates)));
    }
    /// Our certificate and its chain, PEM or DER, for servers that ask for one.
    Status tls_cert(std::string_view certificate)
    {
        return detail::status(remqtt_config_set_tls_cert(raw_.get(), detail::bytes(certificate)));
    }
    /// The private key of our certificate, PEM or DER.
    Status tls_key(std::string_view key)
    {
        return detail::status(remqtt_config_set_tls_key(raw_.get(), detail::bytes(key)));
    }
    /// A header of the WebSocket handshake.
    Status ws_header(std::string_view name, std::string_view value)
    {
        return detail::status(remqtt_config_add_ws_header(raw_.get(), detail::str(name), detail::str(value)));
    }
    Status session(bool clean_start, std::chrono::seconds expiry)
    {
        auto seconds = static_cast<uint32_t>(expiry.count());
        return detail::status(remqtt_config_set_session(raw_.get(), clean_start, seconds));
    }
    Status reconnect(std::chrono::milliseconds min, std::chrono::milliseconds max)
    {
        return detail::status(remqtt_config_set_reconnect(raw_.get(), detail::ms(min), detail::ms(max)));
    }
    Status will(std::string_view topic, std::string_view payload, const PublishOptions &how = {})
    {
        return detail::status(remqtt_config_set_will(raw_.get(), detail::str(topic), detail::bytes(payload), how.qos,
                                                     how.retain, how.properties.raw()));
    }

    /// `handler(ClientView, const remqtt_state_event &)`
    template <class F> Status on_state(F handler)
    {
        auto call = [](void *user, remqtt_client *client, const remqtt_state_event *event) {
            detail::guarded(0, [&] { return (*static_cast<F *>(user))(ClientView(client), *event), 0; });
        };
        return add(remqtt_config_on_state, +call, std::move(handler));
    }
    /// `handler(ClientView, const remqtt_outage &)`
    template <class F> Status on_recovered(F handler)
    {
        auto call = [](void *user, remqtt_client *client, const remqtt_outage *outage) {
            detail::guarded(0, [&] { return (*static_cast<F *>(user))(ClientView(client), *outage), 0; });
        };
        return add(remqtt_config_on_recovered, +call, std::move(handler));
    }
    /// `handler(ClientView, const remqtt_quarantined &)`
    template <class F> Status on_quarantined(F handler)
    {
        auto call = [](void *user, remqtt_client *client, const remqtt_quarantined *what) {
            detail::guarded(0, [&] { return (*static_cast<F *>(user))(ClientView(client), *what), 0; });
        };
        return add(remqtt_config_on_quarantined, +call, std::move(handler));
    }
    Status connect_properties(PropertiesView properties)
    {
        return detail::status(remqtt_config_set_connect_props(raw_.get(), properties.raw()));
    }
    /// `handler(ClientView, AuthView)`, which returns true if the AUTH is answered, there or later, by
    /// ClientView::authenticate. See remqtt_auth_fn.
    template <class F> Status on_auth(F handler)
    {
        auto call = [](void *user, remqtt_client *client, const remqtt_auth *auth) -> remqtt_status {
            return detail::guarded(REMQTT_E_AUTHENTICATION_FAILED, [&]() -> remqtt_status {
                bool answered = (*static_cast<F *>(user))(ClientView(client), AuthView(auth));
                return answered ? REMQTT_OK : REMQTT_E_AUTHENTICATION_FAILED;
            });
        };
        return add(remqtt_config_on_auth, +call, std::move(handler));
    }
    /// `handler(ClientView)`, which returns a std::optional of a Login, or of a pair of user name and password: asked
    /// before each attempt, on a thread beside the other callbacks. std::nullopt ends the attempt.
    template <class F> Status on_credentials(F handler)
    {
        auto call = [](void *user, remqtt_client *client, remqtt_login *login) -> remqtt_status {
            return detail::guarded(REMQTT_E_BAD_CREDENTIALS, [&]() -> remqtt_status {
                std::optional<Login> said = (*static_cast<F *>(user))(ClientView(client));
                if (!said) {
                    return REMQTT_E_BAD_CREDENTIALS;
                }
                if (said->auth_data) {
                    remqtt_login_set_auth_data(login, detail::bytes(*said->auth_data));
                }
                return remqtt_login_set(login, detail::str(said->user), detail::bytes(said->password));
            });
        };
        return add(remqtt_config_on_credentials, +call, std::move(handler));
    }
    /// `handler(ClientView, int32_t level, std::string_view text)`, for lines up to `level`, REMQTT_LOG_...
    template <class F> Status on_log(int32_t level, F handler)
    {
        auto call = [](void *user, remqtt_client *client, int32_t of, remqtt_str text) {
            detail::guarded(0, [&] { return (*static_cast<F *>(user))(ClientView(client), of, detail::view(text)), 0; });
        };
        auto with_level = [level](remqtt_config *config, remqtt_log_fn function, void *user, remqtt_drop_fn drop) {
            return remqtt_config_on_log(config, level, function, user, drop);
        };
        return add(with_level, +call, std::move(handler));
    }
    /// `handler(ClientView, const remqtt_gap &)`
    template <class F> Status on_gap(F handler)
    {
        auto call = [](void *user, remqtt_client *client, const remqtt_gap *gap) {
            detail::guarded(0, [&] { return (*static_cast<F *>(user))(ClientView(client), *gap), 0; });
        };
        return add(remqtt_config_on_gap, +call, std::move(handler));
    }
    /// `handler(ClientView, remqtt_status, std::string_view)`: the trouble of the store in words, or REMQTT_OK when it
    /// can be written again.
    template <class F> Status on_store(F handler)
    {
        auto call = [](void *user, remqtt_client *client, remqtt_status cause, remqtt_str text) {
            detail::guarded(0, [&] {
                return (*static_cast<F *>(user))(ClientView(client), cause, detail::view(text)), 0;
            });
        };
        return add(remqtt_config_on_store, +call, std::move(handler));
    }
    /// `handler(ClientView, MessageView)`, which returns nothing or an Ack.
    template <class F> Status on_message(F handler)
    {
        return add(remqtt_config_on_message, detail::call_message<F>, std::move(handler));
    }

    const remqtt_config *raw() const { return raw_.get(); }

    Result<Client> client() const
    {
        remqtt_client *made = nullptr;
        remqtt_status status = remqtt_client_new(raw_.get(), &made);
        return status == REMQTT_OK ? Result<Client>(Client(made)) : Result<Client>(Error::last(status));
    }

private:
    template <class Register, class Call, class F> Status add(Register registration, Call call, F handler)
    {
        auto user = std::make_unique<F>(std::move(handler));
        remqtt_status status = registration(raw_.get(), call, user.get(), detail::drop<F>);
        if (status == REMQTT_OK) {
            (void)user.release();
        }
        return detail::status(status);
    }
    std::unique_ptr<remqtt_config, detail::Free> raw_;
};

inline Status ClientView::reconfigure(const Config &config) const
{
    return detail::status(remqtt_client_reconfigure(raw_, config.raw()));
}

namespace detail {
template <class F> int32_t call_message(void *user, remqtt_client *client, const remqtt_message *message)
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

} // namespace remqtt

#endif // REMQTT_HPP

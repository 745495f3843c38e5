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

#include <optional>

#include "client.hpp"

namespace remqtt {

/// What a client is made from.
class Config {
public:
    Config() : raw_(remqtt_config_new()) {}

    Status set(const std::string &key, const std::string &value)
    {
        return detail::status(remqtt_config_set(raw_.get(), key.c_str(), value.c_str()));
    }
    /// The option as set() takes it; a secret shows only that it is set. Empty too if there is no such option.
    std::string get(const std::string &key) const
    {
        return detail::text([this, &key](char *buffer, size_t capacity) {
            return remqtt_config_get(raw_.get(), key.c_str(), buffer, capacity);
        });
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
    /// Properties of the CONNECT beyond those that have an option.
    Status connect_properties(PropertiesView properties)
    {
        return detail::status(remqtt_config_set_connect_props(raw_.get(), properties.raw()));
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
    /// `handler(ClientView, const remqtt_target &)`, which returns a connected stream socket or a negative status: asked
    /// for each attempt, on a thread beside the other callbacks. See remqtt_dial_fn.
    template <class F> Status on_dial(F handler)
    {
        auto call = [](void *user, remqtt_client *client, const remqtt_target *target) -> int32_t {
            return detail::guarded(REMQTT_E_CONNECT_FAILED, [&]() -> int32_t {
                return (*static_cast<F *>(user))(ClientView(client), *target);
            });
        };
        return add(remqtt_config_on_dial, +call, std::move(handler));
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

/// What was in the file of a store that no client uses.
class Inspection {
public:
    /// See remqtt_inspection_new.
    static Result<Inspection> of(const std::string &path)
    {
        remqtt_inspection *made = nullptr;
        remqtt_status status = remqtt_inspection_new(path.c_str(), &made);
        return status == REMQTT_OK ? Result<Inspection>(Inspection(made)) : Result<Inspection>(Error::last(status));
    }

    /// Bytes of the file.
    uint64_t size() const { return remqtt_inspection_size(raw_.get()); }
    /// What is wrong with it, in words; empty: it is whole. Lives as long as the inspection.
    std::string_view damage() const { return detail::view(remqtt_inspection_damage(raw_.get())); }
    size_t count() const { return remqtt_inspection_count(raw_.get()); }
    /// The record with this index as a JSON object in one line. See remqtt_inspection_record.
    std::string record(size_t index) const
    {
        return detail::text([this, index](char *buffer, size_t capacity) {
            return remqtt_inspection_record(raw_.get(), index, buffer, capacity);
        });
    }

private:
    explicit Inspection(remqtt_inspection *own) : raw_(own) {}
    std::unique_ptr<remqtt_inspection, detail::Free> raw_;
};

/// The keys of all options, for Config::set and Config::get.
inline std::vector<std::string_view> option_names() { return detail::names(remqtt_option_name); }
/// The names of the marks of an outage, in the order of REMQTT_MARK_...
inline std::vector<std::string_view> mark_names() { return detail::names(remqtt_mark_name); }

/// Ends the library's threads if every client is closed. See remqtt_wind_down.
inline Status wind_down(std::chrono::milliseconds timeout)
{
    return detail::status(remqtt_wind_down(detail::ms(timeout)));
}

} // namespace remqtt

#endif // REMQTT_HPP

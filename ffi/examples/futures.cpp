// Futures in C++17: publishes a few messages at once and waits for what became of each.
//
//     futures HOST PORT TOPIC N
//
// c++ -std=c++17 futures.cpp -o futures $(pkg-config --cflags --libs remqtt)
#include <future>
#include <iostream>
#include <string>
#include <vector>

#define REMQTT_EXCEPTIONS
#include <remqtt/remqtt.hpp>

int main(int argc, char **argv)
{
    if (argc < 5) {
        std::cerr << "usage: futures HOST PORT TOPIC N\n";
        return 2;
    }
    try {
        remqtt::Config config;
        config.server(std::string("mqtt://") + argv[1] + ":" + argv[2]).value();
        remqtt::Client client = config.client().value();
        client.start().value();

        remqtt::PublishOptions once;
        once.qos = 2;
        std::vector<std::future<remqtt::Outcome>> outcomes;
        for (int n = 0; n < std::stoi(argv[4]); n++) {
            outcomes.push_back(client.publish_future(argv[3], std::to_string(n), once).value());
        }
        int failed = 0;
        for (auto &each : outcomes) {
            remqtt::Outcome outcome = each.get(); // not in a callback: there it would wait for itself
            if (!outcome) {
                std::cerr << outcome.token << ": " << outcome.text << '\n';
                failed++;
            }
        }
        std::cout << outcomes.size() << " done, " << failed << " failed" << std::endl;
        client.close(std::chrono::seconds(5)).value();
        return failed != 0;
    } catch (const remqtt::Exception &failure) {
        std::cerr << "futures: " << failure.what() << '\n';
        return 1;
    }
}

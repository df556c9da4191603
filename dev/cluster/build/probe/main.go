// Probe is the program of the test image: what a pod does to find out whether the cluster works. It prints what it finds.
//
//	probe status                     user, capabilities and no-new-privileges flag of this process
//	probe write FILE TEXT            write a file
//	probe read FILE                  print a file; waits for its text
//	probe list FOLDER                print the names in a folder
//	probe resolve NAME               print the addresses of a DNS name; waits for it
//	probe serve ADDRESS TEXT         answer every HTTP request with TEXT
//	probe get URL                    print the answer; waits for it
//	probe connect ADDRESS            open a TCP connection
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const patience = 30 * time.Second

func main() {
	text, err := run(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(text)
}

func run(verb string, arguments []string) (string, error) {
	switch verb {
	case "status":
		return status()
	case "write":
		return "written", os.WriteFile(arguments[0], []byte(arguments[1]), 0o644)
	case "read":
		return eventually(func() (string, error) { return readWritten(arguments[0]) })
	case "list":
		return list(arguments[0])
	case "resolve":
		return eventually(func() (string, error) {
			found, err := net.LookupHost(arguments[0])
			return strings.Join(found, " "), err
		})
	case "serve":
		answer := func(writer http.ResponseWriter, _ *http.Request) { io.WriteString(writer, arguments[1]) }
		return "", http.ListenAndServe(arguments[0], http.HandlerFunc(answer))
	case "get":
		return eventually(func() (string, error) { return get(arguments[0]) })
	case "connect":
		connection, err := net.DialTimeout("tcp", arguments[0], 3*time.Second)
		if err == nil {
			connection.Close()
		}
		return "connected", err
	}
	return "", fmt.Errorf("no such verb: %s", verb)
}

func eventually(read func() (string, error)) (string, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		text, err := read()
		if err == nil || time.Now().After(deadline) {
			return text, err
		}
	}
}

// readWritten returns the content of a file, and an error while the file is empty: its writer may have only created it so far.
func readWritten(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err == nil && len(content) == 0 {
		err = fmt.Errorf("%s is empty", path)
	}
	return string(content), err
}

func status() (string, error) {
	content, err := os.ReadFile("/proc/self/status")
	lines := []string{}
	for _, line := range strings.Split(string(content), "\n") {
		for _, key := range []string{"Uid:", "CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:"} {
			if strings.HasPrefix(line, key) {
				lines = append(lines, strings.Join(strings.Fields(line)[:2], " "))
			}
		}
	}
	return strings.Join(lines, "\n"), err
}

func list(folder string) (string, error) {
	entries, err := os.ReadDir(folder)
	names := []string{}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " "), err
}

func get(url string) (string, error) {
	client := http.Client{Timeout: 3 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return string(content), err
}

// Kstatus says what the tools of GitOps make of objects. It reads objects as JSON, one a line, and prints a line of JSON for each:
// {"status": …, "message": …}.
//
//	kstatus                 as Flux and Helm see them: the library that both use
//	kstatus HEALTH.lua      as Argo CD sees them: a health check in its language, on its interpreter
package main

import (
	"encoding/json"
	"fmt"
	"os"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type result struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	compute := kstatus
	if len(os.Args) > 1 {
		script, err := os.ReadFile(os.Args[1])
		check(err)
		compute = func(object map[string]any) (result, error) { return health(string(script), object) }
	}
	lines := json.NewDecoder(os.Stdin)
	for lines.More() {
		var object unstructured.Unstructured
		var line json.RawMessage
		check(lines.Decode(&line))
		check(object.UnmarshalJSON(line)) // whole numbers stay whole, as the library expects
		found, err := compute(object.Object)
		check(err)
		check(json.NewEncoder(os.Stdout).Encode(found))
	}
}

func kstatus(object map[string]any) (result, error) {
	found, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		return result{}, err
	}
	return result{Status: found.Status.String(), Message: found.Message}, nil
}

// health runs a script of Argo CD: `obj` is the object, and the table that it returns is the health.
func health(script string, object map[string]any) (result, error) {
	state := lua.NewState()
	defer state.Close()
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		return result{}, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return result{}, fmt.Errorf("the script returns no table")
	}
	return result{Status: table.RawGetString("status").String(), Message: table.RawGetString("message").String()}, nil
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

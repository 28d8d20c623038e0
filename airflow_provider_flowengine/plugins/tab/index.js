// The tab as Airflow's page takes it: a React component by the tab's name, made with Airflow's own React.

import * as dagRunView from "./dag_run.js";
import { show } from "./live.js";
import * as taskView from "./task.js";

const { createElement, useEffect, useRef } = globalThis.React;

/** What Airflow gives: ids, of which a DAG run's page has no taskId and a task that isn't mapped no mapIndex. */
function FlowEngine({ dagId, runId, taskId, mapIndex = "-1" }) {
  const host = useRef(null);
  const view = taskId === undefined ? dagRunView : taskView;
  useEffect(() => show(host.current, view, { dagId, runId, taskId, mapIndex }), [dagId, runId, taskId, mapIndex]);
  return createElement("div", { ref: host });
}

globalThis.FlowEngine = FlowEngine;
globalThis.AirflowPlugin = FlowEngine;

// What the tab says beside the words that both pages share.

import { h } from "../web/dom.js";
import { icon } from "../web/states.js";
import { addWords, say } from "../web/words.js";

export { say, sayTime, setLanguage, setTimeZone } from "../web/words.js";

addWords({
  run: ["Run {id}", "运行 {id}"],
  open: ["Open in FlowEngine ↗", "在 FlowEngine 中打开 ↗"],
  pipeline: ["Pipeline", "Pipeline"],
  status: ["Status", "状态原文"],
  elapsed: ["Elapsed", "已用时"],
  unknown: ["Unknown", "未知"],
  tries: ["Tries of the task", "任务的各次尝试"],
  try: ["Try", "尝试"],
  flowengine: ["FlowEngine", "FlowEngine"],
  dagRun: ["FlowEngine runs of this DAG run", "本次 Dag 执行中的 FlowEngine 运行"],
  task: ["Task", "任务"],

  loading: ["Loading…", "加载中…"],
  foreign: ["This task has no FlowEngine run.", "该任务没有 FlowEngine 运行。"],
  noRun: ["No FlowEngine run is recorded for this task.", "该任务没有 FlowEngine 运行的记录。"],
  noRunYet: ["No run yet: it is shown here as soon as FlowEngine has started it.", "尚无运行：FlowEngine 启动后会立即显示在这里。"],
  noRuns: ["No task of this DAG run has a FlowEngine run.", "本次 Dag 执行中没有任务启动 FlowEngine 运行。"],
  firstRuns: ["The first {most} of {total} runs.", "共 {total} 次运行，仅显示前 {most} 次。"],
  left: [
    "The task ended before its run did. The run is shown as the task last knew it, at {time}; FlowEngine knows what came of it.",
    "任务先于运行结束。此处为任务在 {time} 最后记录的运行状态，最终结果请在 FlowEngine 中查看。",
  ],
  noNodes: ["FlowEngine does not tell the nodes of this run.", "FlowEngine 没有返回该运行的节点信息。"],
  elsewhere: [
    "This Airflow keeps XComs in a store of its own, which its web page cannot read. The task's log tells its run.",
    "此 Airflow 使用自定义 XCom 存储，网页无法读取。请在任务日志中查看运行情况。",
  ],

  tasks: ["task instances", "任务实例"],
  dagRuns: ["DAG runs", "Dag 执行"],
  xcoms: ["XComs", "XCom"],
  forbidden: [
    "Your account may not read the {what} of this DAG, which this tab is drawn from. Ask an administrator of Airflow for the right to.",
    "您的账号无权读取该 Dag 的{what}，因此无法显示此页。请向 Airflow 管理员申请权限。",
  ],
  missing: ["Airflow does not have these {what} any more.", "Airflow 中已没有相应的{what}。"],
  signedOut: ["Your session has ended. Reload the page to sign in.", "会话已过期，请刷新页面重新登录。"],
  noConnection: ["Airflow cannot be reached; trying again.", "无法连接 Airflow，正在重试。"],
  airflowError: ["Airflow answered with an error ({status}); trying again.", "Airflow 返回错误（{status}），正在重试。"],
  shownAsRead: ["Below is what was read last.", "以下为上次读取的内容。"],

  "task none": ["No status", "无状态"],
  "task scheduled": ["Scheduled", "已调度"],
  "task queued": ["Queued", "排队中"],
  "task running": ["Running", "执行中"],
  "task deferred": ["Deferred", "已延后"],
  "task restarting": ["Restarting", "重启中"],
  "task up_for_retry": ["Up for retry", "等待重试"],
  "task up_for_reschedule": ["Up for reschedule", "等待重新调度"],
  "task success": ["Success", "成功"],
  "task failed": ["Failed", "失败"],
  "task upstream_failed": ["Upstream failed", "上游任务失败"],
  "task skipped": ["Skipped", "已跳过"],
  "task removed": ["Removed", "已移除"],
});

// Airflow's states of tasks and DAG runs -> the state whose shape and colour they are shown in.
const SHOWN_AS = {
  running: "running",
  deferred: "running",
  restarting: "running",
  success: "succeeded",
  failed: "failed",
  upstream_failed: "failed",
  up_for_retry: "stopped",
  skipped: "unreached",
  removed: "unreached",
};

export const isFinal = (state) => ["success", "failed", "upstream_failed", "skipped", "removed"].includes(state);

export const taskBadge = (state) =>
  h("span", { class: "badge", "data-state": SHOWN_AS[state] ?? "waiting" }, icon(SHOWN_AS[state] ?? "waiting"), h("span", {}, say(`task ${state ?? "none"}`)));

// Jobs of the gateway: what takes longer than an answer.

import { useEffect, useState } from "../vendor/htm-preact.js";
import { get } from "./api.js";

// A job, looked at until it has ended.
export function useJob(number) {
  const [job, setJob] = useState(null);
  useEffect(() => {
    setJob(null);
    if (number === null) return undefined;
    let isOver = false;
    let timer = 0;
    const turn = async () => {
      const told = await get(`jobs/${number}`, true).catch(() => null);
      if (isOver) return;
      if (told) setJob(told);
      if (!told || told.state === "working") timer = setTimeout(turn, 500);
    };
    turn();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [number]);
  return job;
}

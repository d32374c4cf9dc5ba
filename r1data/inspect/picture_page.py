"""Style and script of the lineage page, without any library; colours follow the reader's light or dark setting."""

STYLE = """
body{max-width:none}
#bar{display:flex;flex-wrap:wrap;gap:.6rem;align-items:center}
#bar input{flex:0 1 22rem;padding:.35rem .6rem}
#bar input,#bar button{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line)}
#bar input,#bar button{border-radius:.4rem}
#bar button{padding:.35rem .7rem;cursor:pointer}
#frame{height:70vh;overflow:auto;border:1px solid var(--line);border-radius:.5rem;margin:.6rem 0;background:var(--card)}
#frame.live{overflow:hidden;cursor:grab;touch-action:none}
#frame.live svg{width:100%;height:100%}
#graph{width:auto;max-width:none;display:block}
.e{fill:none;stroke:var(--soft);stroke-opacity:.45}
.n rect{fill:var(--page);stroke:var(--line);stroke-width:1.5}
.n{cursor:pointer}
.n.checkpoint rect{stroke:var(--accent)}
.n.gone rect{stroke-dasharray:4 3}
.n.chosen rect{stroke:var(--accent);stroke-width:4}
.n text{font:600 12px system-ui,sans-serif;fill:var(--ink)}
.n text.what{font-weight:400;font-size:11px;fill:var(--soft)}
svg.picked .n,svg.picked .e{opacity:.13}
svg.picked .n.on{opacity:1}
svg.picked .e.on{opacity:1;stroke:var(--accent);stroke-opacity:.9}
.n.hit rect{fill:var(--accent);fill-opacity:.25;stroke:var(--accent);stroke-width:3}
#told{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem}
#told dt{color:var(--soft)}#told dd{margin:0;overflow-wrap:anywhere}
"""

SCRIPT = """
const svg=document.getElementById('graph'),frame=document.getElementById('frame');
const {told,edges}=JSON.parse(document.getElementById('data').textContent);
const nodes=[...svg.querySelectorAll('.n')],lines=[...svg.querySelectorAll('.e')];
const whole=svg.viewBox.baseVal,size={w:whole.width,h:whole.height};
const up=told.map(()=>[]),down=told.map(()=>[]);
edges.forEach(([a,b])=>{up[b].push(a);down[a].push(b)});
let view={x:0,y:0,w:size.w,h:size.h};
frame.classList.add('live');svg.removeAttribute('width');svg.removeAttribute('height');
function draw(){svg.setAttribute('viewBox',`${view.x} ${view.y} ${view.w} ${view.h}`)}
function fit(){view={x:0,y:0,w:size.w,h:size.h};draw()}
function centre(i){
  const m=nodes[i].transform.baseVal[0].matrix,r=frame.getBoundingClientRect();
  const w=Math.min(Math.max(r.width,300),1600),h=w*r.height/r.width;
  view={x:m.e+105-w/2,y:m.f+20-h/2,w,h};draw()}
function scale(){return Math.max(view.w/frame.clientWidth,view.h/frame.clientHeight)}
function at(e){const p=new DOMPoint(e.clientX,e.clientY).matrixTransform(svg.getScreenCTM().inverse());return p}
function zoom(p,k){view={x:p.x-(p.x-view.x)*k,y:p.y-(p.y-view.y)*k,w:view.w*k,h:view.h*k};draw()}
frame.addEventListener('wheel',e=>{e.preventDefault();zoom(at(e),Math.exp(e.deltaY*.0015))},{passive:false});
let drag=null,moved=false;
frame.addEventListener('pointerdown',e=>{drag=[e.clientX,e.clientY];moved=false});
window.addEventListener('pointermove',e=>{if(!drag)return;const s=scale(),x=e.clientX-drag[0],y=e.clientY-drag[1];
  if(Math.abs(x)+Math.abs(y)>3)moved=true;if(!moved)return;
  view.x-=x*s;view.y-=y*s;drag=[e.clientX,e.clientY];draw()});
window.addEventListener('pointerup',()=>{drag=null});
frame.addEventListener('keydown',e=>{const step=view.w/10,k={ArrowLeft:[-1,0],ArrowRight:[1,0],ArrowUp:[0,-1],
  ArrowDown:[0,1]}[e.key];
  const middle={x:view.x+view.w/2,y:view.y+view.h/2};
  if(k){view.x+=k[0]*step;view.y+=k[1]*step;draw();e.preventDefault()}
  else if(e.key==='+')zoom(middle,.8);else if(e.key==='-')zoom(middle,1.25);else if(e.key==='Escape')pick(null)});
function reach(i,next){const seen=new Set([i]),stack=[i];
  while(stack.length)for(const j of next[stack.pop()])if(!seen.has(j)){seen.add(j);stack.push(j)}return seen}
function pick(i){
  const list=document.getElementById('told');list.replaceChildren();svg.classList.toggle('picked',i!==null);
  if(i===null)return;
  const above=reach(i,up),below=reach(i,down);
  nodes.forEach((n,j)=>n.classList.toggle('on',above.has(j)||below.has(j)));
  lines.forEach((l,k)=>{const[a,b]=edges[k];
    l.classList.toggle('on',(above.has(a)&&above.has(b))||(below.has(a)&&below.has(b)))});
  const facts={...told[i],'upstream':String(above.size-1),'downstream':String(below.size-1)};
  for(const[k,v]of Object.entries(facts)){const t=document.createElement('dt'),d=document.createElement('dd');
    t.textContent=k;d.textContent=v;list.append(t,d)}}
svg.addEventListener('click',e=>{if(moved)return;const n=e.target.closest('.n');pick(n?Number(n.dataset.i):null)});
const find=document.getElementById('find'),hits=document.getElementById('hits');
let found=[],turn=0;
const words=told.map(t=>Object.values(t).join(' ').toLowerCase());
find.addEventListener('input',()=>{const q=find.value.trim().toLowerCase();turn=0;
  found=q?words.flatMap((w,i)=>w.includes(q)?[i]:[]):[];
  nodes.forEach(n=>n.classList.remove('hit'));found.forEach(i=>nodes[i].classList.add('hit'));
  hits.textContent=q?`${found.length} found`+(found.length?', Enter goes through them':''):'';});
document.getElementById('bar').addEventListener('submit',e=>{e.preventDefault();if(!found.length)return;
  const i=found[turn++%found.length];centre(i);pick(i);
  hits.textContent=`${(turn-1)%found.length+1} of ${found.length}`});
document.getElementById('fit').addEventListener('click',()=>{pick(null);fit()});
document.getElementById('home').addEventListener('click',()=>{centre(CHOSEN);pick(CHOSEN)});
if(size.w>1.6*frame.clientWidth||size.h>1.6*frame.clientHeight)centre(CHOSEN);else fit();
"""
